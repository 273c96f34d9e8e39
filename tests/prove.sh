#!/bin/sh
# Checks what docs/proof.md claims; `make prove` has set the machine up.
. "$(dirname "$0")/steps.sh"

step "the tables of docs/proof.md" cargo test --locked --test proof
step "rules" cargo test --locked --test rules
step "formats, machines, tables of ports" cargo test --locked --lib --test lacp
# This takes minutes even so, and is not part of the other tests.
step "tables of ports, each two changes" cargo test --locked --profile prove --lib -- --ignored policy::
step "driver" cargo test --locked --test driver --test unload
step "failures" cargo test --locked --test faults
step "fuzzers' inputs" cargo test --locked --test fuzz
loom
step "threads" tests/tsan.sh
step "Miri" tests/miri.sh
summary
