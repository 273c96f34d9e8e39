#!/bin/sh
# tests/mutants.sh [OPTION...]: changes the policies, LACP and the plan in one place after the other, and says which changes
# no test notices; docs/proof.md has what is known of those. Options are cargo-mutants' own.
set -eu
cd "$(dirname "$0")/.."
. kmod/env.sh

version=27.1.0
tool=build/mutants-$version
[ -x $tool/bin/cargo-mutants ] || cargo install --quiet --debug --locked --root $tool --version $version cargo-mutants

# Half of the time to build one would go into the numbers of its lines.
export CARGO_PROFILE_PROVE_DEBUG=0

# mutants OPTION...
mutants() {
    $tool/bin/cargo-mutants mutants --output build --profile prove --no-default-features --cargo-arg=--locked \
        --file 'src/policy/**' --file 'src/lacp/**' --file src/driver/plan.rs "$@"
}

# Most are noticed by the tests that take a second; the driver's, which take some, see what is left.
# Not tests/rules.rs: its messages quote the code, so any change of that would do.
mutants --cargo-arg=--lib --cargo-arg=--test=lacp "$@" || [ $? -le 3 ]
mutants --iterate --cargo-arg=--test=driver "$@"
