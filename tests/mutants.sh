#!/bin/sh
# tests/mutants.sh [OPTION...]: mutation testing of the policies, LACP and the plan. It reports each
# mutant that no test notices; docs/proof.md explains the known ones. Options are those of
# cargo-mutants.
set -eu
cd "$(dirname "$0")/.."
. kmod/env.sh

version=27.1.0
tool=build/mutants-$version
[ -x $tool/bin/cargo-mutants ] || cargo install --quiet --debug --locked --root $tool --version $version cargo-mutants

# Line numbers would take half of the time to build a mutant.
export CARGO_PROFILE_PROVE_DEBUG=0

# mutants OPTION...
mutants() {
	$tool/bin/cargo-mutants mutants --output build --profile prove --no-default-features --cargo-arg=--locked \
	    --file 'src/policy/**' --file 'src/lacp/**' --file src/driver/plan.rs "$@"
}

# Tests that take a second notice most mutants. The driver's, which take some seconds, run on the
# rest. Not tests/rules.rs: its messages quote the code, so any change breaks it.
mutants --cargo-arg=--lib --cargo-arg=--test=lacp "$@" || [ $? -le 3 ]
mutants --iterate --cargo-arg=--test=driver "$@"
