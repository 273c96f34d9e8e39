#!/bin/sh
# FreeBSD's own suite for lagg, all eight cases of it, and ours (../kyua). CASES: run only these
# cases of ours, as kyua(1) names them.
. ./lib.sh
begin
theirs=/usr/tests/sys/net
ours=$PWD/kyua
kldload -n if_tuntap 2>/dev/null

# suite NAME KYUAFILE [CASE...]: runs it with kyua; prints the report, and details of failed cases
suite() {
	name=$1 file=$2
	shift 2
	kyua --logfile=/dev/null test -k "$file" -r "$work/db" "$@" 2>&1 | tee /dev/console >"$work/kyua"
	kyua --logfile=/dev/null report --results-filter=passed,xfail,skipped,broken,failed -r "$work/db"
	if grep -q '(0 broken, 0 failed, ' "$work/kyua"; then
		: >"$work/out"
		ok "$name: $(tail -n 1 "$work/kyua")"
	else
		kyua --logfile=/dev/null report --verbose --results-filter=broken,failed -r "$work/db" >"$work/out"
		fail "$name"
	fi
	rm -f "$work/db"
}

if ! type kyua >/dev/null 2>&1; then
	skip "this root has no kyua(1)"
	exit 0
fi
cd "$work" || exit
if [ -z "$CASES" ] && [ -f $theirs/if_lagg_test ]; then
	suite "FreeBSD's" $theirs/Kyuafile if_lagg_test
elif [ -z "$CASES" ]; then
	skip "this root has no $theirs/if_lagg_test"
fi
suite "ours" "$ours/Kyuafile" $CASES
