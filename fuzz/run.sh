#!/bin/sh
# Fuzzes all targets, or those that are named, for FUZZ_SECONDS seconds of processor time each: 600 if not said otherwise.
# It goes on from what it has found before, which is in build/fuzz/. What breaks something goes to fuzz/crashes/, where
# `cargo test` replays it. With the word `keep` first it fuzzes nothing: the fewest inputs that reach all that has been
# reached go to fuzz/corpus/, where `cargo test` replays them too.
set -eu
cd "$(dirname "$0")/.."
. kmod/env.sh

keep=
[ "${1:-}" != keep ] || { keep=1; shift; }
[ $# -gt 0 ] || set -- frames pdus requests events
seconds=${FUZZ_SECONDS:-600}

# libFuzzer is libfuzzer-sys's own; what it goes by is LLVM's, which every rustc has.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
for what in inline-8bit-counters pc-table trace-compares; do
	RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-$what"
done
export RUSTFLAGS
cargo build --quiet --locked --release --manifest-path fuzz/Cargo.toml --target "$host"

# What waits for longer than this is taken for a deadlock, by the lab and then by libFuzzer.
LAGG_WATCHDOG=60
export LAGG_WATCHDOG

# target TARGET ARGUMENT...: runs it
target() {
	name=$1
	shift
	"fuzz/target/$host/release/$name" -timeout=120 -max_len=400 -artifact_prefix="fuzz/crashes/$name/" "$@"
}

# measure: into `used`, the seconds of processor time that what this shell has run has taken so far
measure() {
	# Not in a subshell, which has run nothing.
	times >"build/fuzz/$name.times"
	used=$(awk -F '[ms ]' 'NR == 2 { print int($1 * 60 + $2 + $4 * 60 + $5) }' "build/fuzz/$name.times")
}

for name; do
	mkdir -p "build/fuzz/$name" "fuzz/crashes/$name" "fuzz/corpus/$name"
	log=build/fuzz/$name.log
	if [ "$keep" ]; then
		rm -rf "build/fuzz/$name.kept"
		mkdir "build/fuzz/$name.kept"
		# By what is reached, and not by how often: that takes fewer.
		target "$name" -use_counters=0 -set_cover_merge=1 "build/fuzz/$name.kept" "build/fuzz/$name" \
		    "fuzz/corpus/$name" >"$log" 2>&1
		rm -rf "fuzz/corpus/$name"
		mv "build/fuzz/$name.kept" "fuzz/corpus/$name"
		echo "$name: $(ls "fuzz/corpus/$name" | wc -l) inputs kept"
		continue
	fi
	measure
	began=$used
	executions=0
	while left=$((seconds - used + began)) && [ "$left" -gt 0 ]; do
		# libFuzzer counts the world's seconds, of which a process gets but its share.
		if ! target "$name" -len_control=0 -print_final_stats=1 -max_total_time="$left" \
		    "build/fuzz/$name" "fuzz/corpus/$name" "fuzz/crashes/$name" >"$log" 2>&1; then
			! grep -q 'run interrupted' "$log" || exit 1
			grep -a -m 1 -A 5 -e 'panicked at' -e '^panic: ' -e 'ERROR: libFuzzer' "$log" || tail "$log"
			echo "$name: FOUND something: see $log, and fuzz/crashes/$name" >&2
			exit 1
		fi
		executions=$((executions + $(sed -n 's/^stat::number_of_executed_units: *//p' "$log")))
		measure
	done
	reached=$(sed -n 's/.*DONE *cov: \([0-9]*\) .*/\1/p' "$log")
	echo "$name: $executions executions in $((used - began)) s of processor time, $reached edges reached, nothing found"
done
