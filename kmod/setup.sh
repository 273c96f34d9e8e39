#!/bin/sh
# kmod/setup.sh [PURPOSE]: installs what this machine lacks to build the project, and says what. Silent if nothing is.
# A purpose needs more: test, dist (a release), check (check-ko), fuzz, or vm (the emulator of ARCH).
set -eu
cd "$(dirname "$0")/.."

fail() {
	echo "setup: $*" >&2
	exit 1
}

# want PACKAGE FILE...: PACKAGE is wanted unless one of FILE... exists
want() {
	package=$1
	shift
	for file; do
		[ -e "$file" ] && return
	done
	missing="$missing $package"
}

# want_command PACKAGE COMMAND
want_command() {
	command -v "$2" >/dev/null 2>&1 || missing="$missing $1"
}

install_packages() {
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || fail "missing:$missing. As root: $*$missing"
	echo "setup: installing$missing"
	if [ -t 0 ] && [ -z "${CI:-}" ]; then
		printf 'setup: by %s. Go on? [Y/n] ' "$*"
		read -r answer
		case $answer in [Nn]*) fail "missing:$missing" ;; esac
	fi
	"$@" $missing >"build/setup.log" 2>&1 || fail "could not install:$missing. Try: $*$missing (its output: build/setup.log)"
}

# new_enough ADVICE: fails with ADVICE unless Rust is new enough
new_enough() {
	. kmod/env.sh
	needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
	there=$("${RUSTC:-rustc}" --version | cut -d ' ' -f 2)
	[ "$(printf '%s\n' "$needed" "$there" | sort -V | head -n 1)" = "$needed" ] ||
	    fail "Rust $there is too old, $needed is needed. $1"
}

has_source() {
	[ -e "$SYSDIR/conf/kmod.mk" ] ||
	    fail "no kernel source in $SYSDIR: unpack src.txz there, or pkg install FreeBSD-src-sys, or say SYSDIR=/path/to/sys"
}

debian() {
	want rustc-web /usr/bin/rustc
	want cargo-web /usr/bin/cargo
	want rust-web-src /usr/lib/rustlib/src/rust/library/core/src/lib.rs
	want rust-web-clippy /usr/bin/cargo-clippy
	want rustfmt-web /usr/bin/rustfmt
	want clang-19 /usr/bin/clang-19
	want lld-19 /usr/bin/ld.lld-19
	want llvm-19 /usr/bin/llvm-objdump-19
	want libclang-19-dev /usr/lib/llvm-19/lib/libclang.so
	want libck-dev /usr/include/ck_queue.h
	want_command python3 python3
	want ca-certificates /etc/ssl/certs/ca-certificates.crt
	want_command gcc cc
	want_command iproute2 ip
	want_command iputils-ping ping
	want_command valgrind valgrind
	want_command bmake bmake
	case $purpose in
	test)
		# LACP's partners, and a reader of its frames
		want openvswitch-switch /usr/sbin/ovs-vswitchd
		want_command qemu-system-x86 qemu-system-x86_64
		want_command busybox-static busybox
		want_command libteam-utils teamd
		want_command ethtool ethtool
		want_command tshark tshark
		# For the manual page
		want_command mandoc mandoc
		# ThreadSanitizer's runtime
		want libclang-rt-19-dev "/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.tsan-$(uname -m).a"
		;;
	esac
	case $purpose in
	vm)
		# Another emulator is the caller's.
		case ${QEMU:-none}${ARCH:-amd64} in
		noneamd64) want_command qemu-system-x86 qemu-system-x86_64 ;;
		nonearm64)
			want_command qemu-system-arm qemu-system-aarch64
			want qemu-efi-aarch64 /usr/share/qemu-efi-aarch64/QEMU_EFI.fd
			;;
		esac
		;;
	test | dist)
		want_command git git
		want signify-openbsd /usr/bin/signify-openbsd
		;;
	# libFuzzer is C++
	fuzz) want_command g++ c++ ;;
	esac
	if [ "${SYSDIR:-}" ]; then
		[ -z "${FREEBSD:-}" ] || fail "FREEBSD=$FREEBSD and SYSDIR=$SYSDIR: say one of them, a release or a kernel's source"
		has_source
	fi
	headers=${SYSDIR:-}
	# A kernel's source lacks the headers of C that the programs of tests/vm include.
	if [ -z "$headers" ] || [ "$purpose" = vm ]; then
		FREEBSD=${FREEBSD:-15}
		[ -e "kmod/headers-$FREEBSD.txt" ] ||
		    fail "FREEBSD=$FREEBSD: only 14 and 15 are known here. For another release say SYSDIR=/path/to/its/sys"
		headers=build/headers-$FREEBSD/$(sed -n 's/^\(ziglang==[^ ]*\).*/\1/p' "kmod/headers-$FREEBSD.txt")
	fi
	wheels=build/wheels/$(cksum tests/wheels.txt | tr ' /' '--')
	[ "$purpose" = test ] || [ "$purpose" = check ] || wheels=$headers
	[ -e "$headers" ] && [ -e "$wheels" ] || python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"

	if [ -n "$missing" ] && ! command -v apt-get >/dev/null; then
		fail "missing (by Debian's names):$missing. This machine has no apt-get: install them by hand"
	fi
	kernel=
	[ "$purpose" != test ] || [ "$(uname -m)" != x86_64 ] || [ -e build/linux ] || kernel=linux-image-cloud-amd64
	if [ -n "$missing$kernel" ] && [ "$(id -u)" = 0 ]; then
		apt-get -qq update >build/setup.log 2>&1 || echo "setup: apt-get update failed, going on" >&2
	fi
	DEBIAN_FRONTEND=noninteractive
	export DEBIAN_FRONTEND
	install_packages apt-get -qq -y --no-install-recommends install
	new_enough "As root: echo 'deb http://deb.debian.org/debian-security bookworm-security main' >>/etc/apt/sources.list && apt-get update && apt-get install rustc-web cargo-web rust-web-src rust-web-clippy rustfmt-web"
	[ -e "$headers" ] || fetch_headers
	[ -e "$wheels" ] || fetch_wheels
	[ -z "$kernel" ] || fetch_kernel
	case $purpose in
	# For what looks at all crates of the lock
	test | dist) cargo fetch --quiet --locked || fail "could not fetch the crates of Cargo.lock" ;;
	esac
}

# The Python packages that tests need, for this project alone
fetch_wheels() {
	echo "setup: fetching what tests need from PyPI (a download of 25 MB, once)"
	rm -rf build/wheels
	python3 -m pip --quiet install --no-deps --require-hashes --only-binary :all: --target build/wheels \
	    -r tests/wheels.txt >build/setup.log 2>&1 ||
	    fail "could not install what tests/wheels.txt names from PyPI (pip's output: build/setup.log)"
	touch "$wheels"
}

# Debian's kernel for virtual machines, which are partners of laggs. It is not installed.
fetch_kernel() {
	echo "setup: fetching $kernel (a download of 27 MB, once)"
	rm -rf build/linux.new
	mkdir build/linux.new
	package=$(apt-cache depends $kernel | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
	if (cd build/linux.new && apt-get -qq download "$package" && dpkg-deb -x ./*.deb . && rm ./*.deb) >build/setup.log 2>&1; then
		mv build/linux.new build/linux
	else
		# The tests that need it say so.
		echo "setup: could not download ${package:-$kernel} (apt-get's output: build/setup.log), going on" >&2
	fi
}

# Fetches FreeBSD's kernel headers from the pinned wheel, and adds Concurrency Kit's.
fetch_headers() {
	echo "setup: fetching FreeBSD $FREEBSD's headers (a download of 100 MB, once)"
	to=build/headers-$FREEBSD
	rm -rf "$to" "$to.new"
	mkdir -p "$to.new/ck"
	python3 -m pip --quiet download --no-deps --require-hashes --only-binary :all: \
	    --platform manylinux_2_12_x86_64 --dest "$to.new" -r "kmod/headers-$FREEBSD.txt" >build/setup.log 2>&1 ||
	    fail "could not download ${headers##*/} from PyPI. Try: pip download ${headers##*/} (pip's output: build/setup.log)"
	python3 - "$to.new" <<-'END'
		import pathlib, sys, zipfile
		to = pathlib.Path(sys.argv[1])
		wheel = next(to.glob("*.whl"))
		inside = "ziglang/lib/libc/include/"
		with zipfile.ZipFile(wheel) as archive:
		    for name in archive.namelist():
		        kept = name.removeprefix(inside)
		        if kept.startswith(("generic-freebsd/", "x86_64-freebsd-none/", "aarch64-freebsd-none/")):
		            file = to / kept
		            file.parent.mkdir(parents=True, exist_ok=True)
		            file.write_bytes(archive.read(name))
		wheel.unlink()
	END
	ln -s /usr/include/ck_*.h /usr/include/gcc "$to.new/ck/"
	rm "$to.new/ck/ck_md.h"
	touch "$to.new/${headers##*/}"
	mv "$to.new" "$to"
}

freebsd() {
	case $purpose in
	test | dist)
		fail "make test, make dist and the like need Debian 12. Here test with make run, make vm, or make install-tests and kyua(1)"
		;;
	esac
	want rust /usr/local/bin/cargo
	want llvm19 /usr/local/llvm19/lib/libclang.so
	want_command python3 python3
	if [ "$purpose" = check ] && ! python3 -c 'import elftools' 2>/dev/null; then
		missing="$missing py3$(python3 -c 'import sys; print(sys.version_info[1])')-pyelftools"
	fi
	install_packages pkg install -y
	new_enough "As root: pkg upgrade rust"
	[ -e /usr/local/lib/rustlib/src/rust/library/core/src/lib.rs ] ||
	    fail "Rust's own source is missing: it comes with lang/rust built with its option SOURCES"
	[ -z "${FREEBSD:-}" ] || fail "FREEBSD=$FREEBSD is for other systems: here the module is for the kernel in SYSDIR="
	SYSDIR=${SYSDIR:-/usr/src/sys}
	has_source
}

mkdir -p build
missing=
purpose=${1:-}
case $(uname -s) in
Linux) debian ;;
FreeBSD) freebsd ;;
*) fail "only Linux and FreeBSD are known here" ;;
esac
