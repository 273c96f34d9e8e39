#!/bin/sh
# tests/userlagg.sh: userlagg, as it is shipped, compiles without a warning and has nothing of the kit for tests.
set -eu
cd "$(dirname "$0")/.."
. kmod/env.sh

# has_kit [OPTION...]: whether the names of userlagg's functions have that module's in them
has_kit() {
	cargo build --locked --quiet --bin userlagg "$@"
	grep -aq 7testing target/debug/userlagg
}

cargo clippy --locked --quiet --bin userlagg -- -D warnings
if has_kit; then
	echo "userlagg has src/kpi/host/testing in it" >&2
	exit 1
fi
# What does not find it says something only if it can.
if ! has_kit --features testing; then
	echo "the kit is not found where it is" >&2
	exit 1
fi
