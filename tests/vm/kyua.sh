#!/bin/sh
# FreeBSD's own suite for lagg, all eight cases of it.
. ./lib.sh
begin
suite=/usr/tests/sys/net
kldload -n if_tuntap 2>/dev/null

if [ ! -f $suite/if_lagg_test ]; then
	skip "this root has no $suite/if_lagg_test"
elif type kyua >/dev/null 2>&1; then
	cd "$work" || exit
	kyua --logfile=/dev/null test -k $suite/Kyuafile -r "$work/db" if_lagg_test | tee /dev/console >"$work/out"
	name="if_lagg_test: $(grep -c -- '->  passed' "$work/out") of 8 passed"
	if [ "$(grep -c -- '->  passed' "$work/out")" = 8 ]; then
		ok "$name"
	else
		kyua --logfile=/dev/null report --verbose -r "$work/db" | tail -n 120 >"$work/out"
		fail "$name"
	fi
else
	# The cases by themselves: what kyua would do, but for its time limits.
	for case in create create_destroy_stress lacp_linkstate_destroy_stress set_ether status_stress up_destroy_stress updown witness; do
		mkdir "$work/$case" && cd "$work/$case" || exit
		check "if_lagg_test $case" $suite/if_lagg_test -s $suite -r "$work/$case/result" "$case"
		[ "$case" = witness ] || $suite/if_lagg_test -s $suite "$case:cleanup" >/dev/null 2>&1
	done
	cd /
fi
