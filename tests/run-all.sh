#!/bin/sh
# All tests of this machine, one after the other; `make test` has set it up. Each step's output is kept in build/test/.
# A test that cannot run here says LEFT OUT and why, which is said again at the end; where CI is set it must fail instead,
# unless it is the kernel that lacks something.
cd "$(dirname "$0")/.." || exit 1
. kmod/env.sh
rm -rf build/test
mkdir -p build/test

passed=0
failed=0
bad=
left_out=
began=$(date +%s)

# step NAME COMMAND...: runs it, counts the tests it reports, or itself as one
step() {
	name=$1
	shift
	log=build/test/$(echo "$name" | tr ' /' '__').log
	start=$(date +%s)
	printf '\n== %s\n' "$name"
	{
		"$@" 2>&1
		echo $? >build/test/status
	} | tee "$log"
	status=$(cat build/test/status)
	# "test result: ok. 12 passed; 0 failed; ..." is cargo's; unittest's "Ran 12 tests in 1.2s" counts the failed ones too.
	ok=$(awk '/^test result:/ { n += $4 } END { print n + 0 }' "$log")
	not_ok=$(awk '/^test result:/ { n += $6 } END { print n + 0 }' "$log")
	left_out="$left_out$(grep 'LEFT OUT' "$log" | sort -u)"
	if [ "$status" = 0 ]; then
		[ "$ok" -gt 0 ] || ok=$(awk '/^Ran [0-9]+ tests? in/ { n += $2 } END { print n ? n : 1 }' "$log")
		outcome=passed
	else
		[ "$not_ok" -gt 0 ] || not_ok=1
		bad="$bad
  $name: $log"
		outcome=FAILED
	fi
	passed=$((passed + ok))
	failed=$((failed + not_ok))
	echo "== $name: $outcome in $(($(date +%s) - start)) s"
}

step "format" cargo fmt --check
step "clippy, host" cargo clippy --locked --all-targets -- -D warnings
step "tests, host" cargo test --locked --no-fail-fast
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib
step "manual page" mandoc -Tlint -W warning kmod/lagg_rs.4
# In a directory of its own: other flags would have all rebuilt that the steps before have built.
step "loom" env RUSTFLAGS="--cfg loom" cargo test --locked --no-default-features --profile prove --target-dir target/loom --test loom
step "threads" tests/tsan.sh concurrency
step "module, for other kernels" python3 -B tests/kernel-options.py
step "module, amd64" kmod/build.sh amd64
step "module, arm64" kmod/build.sh arm64
step "clippy, kernel" kmod/build.sh amd64 clippy
step "check-ko" tests/check-ko.sh
step "check-ko finds what is bad" python3 tests/check-ko-finds.py
step "port's crates" sh -c 'kmod/port/crates.sh | diff - kmod/port/Makefile.crates || { echo "make port"; exit 1; }'
step "kyua's suite" python3 -B -m unittest discover -s tests/kyua
step "run-vm" python3 -B -m unittest discover -s tests/vm
if [ -n "$IMAGE$KERNEL" ]; then
	step "virtual machine" make vm
else
	left_out="$left_out${left_out:+
}* LEFT OUT, no FreeBSD system is named for a virtual machine: IMAGE=, or KERNEL= and ROOT="
fi

echo
[ -z "$bad" ] || echo "FAILED:$bad"
[ -z "$left_out" ] || echo "NOT TESTED HERE:
$left_out"
echo "$passed passed, $failed failed in $(($(date +%s) - began)) s"
[ "$failed" = 0 ]
