# Sourced by scripts that run tests one after the other. Each step's output is kept in build/test/. A test that cannot
# run here prints LEFT OUT and why; the summary repeats that. If CI is set it must fail instead, unless the machine lacks
# something that no setup can install.
cd "$(dirname "$0")/.." || exit 1
. kmod/env.sh
rm -rf build/test
mkdir -p build/test

passed=0
failed=0
bad=
ran=
left_out=
began=$(date +%s)

# leave_out LINES: what is not tested here, for the summary
leave_out() {
	[ -z "$1" ] || left_out="$left_out${left_out:+
}$1"
}

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
	skipped=$(grep 'LEFT OUT' "$log" | sort -u)
	leave_out "$skipped"
	[ "$status" != 0 ] || [ "$ok" -gt 0 ] || ok=$(awk '/^Ran [0-9]+ tests? in/ { n += $2 } END { print n + 0 }' "$log")
	if [ "$status" != 0 ]; then
		[ "$not_ok" -gt 0 ] || not_ok=1
		bad="$bad
  $name: $log"
		outcome=FAILED
	elif [ "$ok" = 0 ] && [ "$skipped" ]; then
		outcome='LEFT OUT'
	else
		[ "$ok" -gt 0 ] || ok=1
		ran="$ran${ran:+; }$name"
		outcome=passed
	fi
	passed=$((passed + ok))
	failed=$((failed + not_ok))
	echo "== $name: $outcome in $(($(date +%s) - start)) s"
}

# loom's build has its own directory: its flags would rebuild everything that the earlier steps have built.
loom() {
	step "loom" env RUSTFLAGS="--cfg loom" cargo test --locked --no-default-features --profile prove \
	    --target-dir target/loom --test loom
}

# Prints the results, and fails if a step has failed.
summary() {
	echo
	echo "PASSED: $ran"
	[ -z "$bad" ] || echo "FAILED:$bad"
	[ -z "$left_out" ] || echo "NOT TESTED HERE:
$left_out"
	echo "$passed passed, $failed failed in $(($(date +%s) - began)) s"
	[ "$failed" = 0 ]
}
