#!/bin/sh
# kmod/port/crates.sh: prints the port's Makefile.crates, which names what cargo would fetch, from Cargo.lock.
cd "$(dirname "$0")/../.." || exit 1
awk '
	/^name = /    { name = $3 }
	/^version = / { version = $3 }
	/^source = "registry/ {
		gsub("\"", "", name)
		gsub("\"", "", version)
		printf "%s\t%s-%s", crates++ ? " \\\n\t" : "CARGO_CRATES=", name, version
	}
	/^source = "git/ { print "crates.sh: " name ": only crates of crates.io are known here" >"/dev/stderr"; exit 1 }
	END { print "" }
' Cargo.lock
