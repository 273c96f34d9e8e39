#!/bin/sh
# tests/miri.sh: runs the tests that need no sockets in Miri, with Tree Borrows. No distribution's
# Rust has Miri: CARGO_MIRI names a cargo that does, else rustup's nightly is tried.
set -eu
cd "$(dirname "$0")/.."
# Miri brings its own compiler.
unset RUSTC RUSTDOC

CARGO_MIRI=${CARGO_MIRI:-rustup run nightly cargo miri}
if ! $CARGO_MIRI --version >/dev/null 2>&1; then
	echo "* LEFT OUT, no Miri: rustup toolchain install nightly --component miri,rust-src; or CARGO_MIRI='cargo +TOOLCHAIN miri'"
	exit
fi
MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-disable-isolation ${MIRIFLAGS:-}"
# Miri is a thousand times slower: few random cases, no floods, no exhaustive tests. It cannot start processes.
PROPTEST_CASES=4
export MIRIFLAGS PROPTEST_CASES
$CARGO_MIRI test --locked --no-default-features --target-dir target/miri --lib --test driver --test lacp -- \
    --skip concurrency --skip under_traffic --skip buckets --skip hash --skip every_state --skip table \
    --skip broken_rules --skip alone
