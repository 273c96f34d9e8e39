#!/bin/sh
# tests/tsan.sh [NAME]: runs the driver's tests, or those whose names contain NAME, under
# ThreadSanitizer, with a standard library that is instrumented too.
set -eu
cd "$(dirname "$0")/.."
. kmod/env.sh

machine=$(uname -m)
runtime=$("$CLANG" --print-resource-dir 2>/dev/null)/lib/linux/libclang_rt.tsan-$machine.a
library=$(rustc --print sysroot)/lib/rustlib/src/rust/library/std
for needed in "$runtime" "$library"; do
	if [ ! -e "$needed" ]; then
		echo "* LEFT OUT, no ThreadSanitizer: $needed is missing"
		exit
	fi
done

RUSTC_BOOTSTRAP=1
# The runtime is clang's: Debian's rustc comes without one.
RUSTFLAGS="-Zsanitizer=thread -Zexternal-clangrt -Clinker=$CLANG -Clink-arg=-fsanitize=thread"
TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1"
CARGO_TERM_QUIET=true
export RUSTC_BOOTSTRAP RUSTFLAGS TSAN_OPTIONS CARGO_TERM_QUIET
run() {
	cargo test --locked --no-default-features --profile prove --target "$machine-unknown-linux-gnu" \
	    -Zbuild-std=std,test,panic_unwind --target-dir target/tsan "$@" 2>&1
}

# It must find the planted race, or a clean run proves nothing.
if found=$(run --test races -- --ignored); then
	echo "a race was not found"
	exit 1
fi
case $found in
*"WARNING: ThreadSanitizer: data race"*) echo "finds a race" ;;
*)
	echo "$found"
	exit 1
	;;
esac
run --test driver -- "$@"
