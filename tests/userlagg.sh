#!/bin/sh
# tests/userlagg.sh: userlagg as it is shipped compiles without warnings, and contains no test code.
set -eu
cd "$(dirname "$0")/.."
. kmod/env.sh

# has_kit [OPTION...]: whether userlagg contains functions of src/kpi/host/testing
has_kit() {
	cargo build --locked --quiet --bin userlagg "$@"
	grep -aq 7testing target/debug/userlagg
}

cargo clippy --locked --quiet --bin userlagg -- -D warnings
if has_kit; then
	echo "userlagg has src/kpi/host/testing in it" >&2
	exit 1
fi
# A check that cannot find it would prove nothing.
if ! has_kit --features testing; then
	echo "the kit is not found where it is" >&2
	exit 1
fi
