#!/bin/sh
# Every script here, or those that SUITE names, each for LIMIT (3600) seconds at most; a line for each at the end.
all='smoke protocols lacp unload churn traffic tags memory vlan vnet netmap infiniband kyua compare'
case $LAGG_KO in
*/if_lagg.ko)
	# It has nothing to be compared with.
	all='smoke protocols unload tags memory vnet netmap infiniband kyua'
	[ -n "$SUITE" ] || echo 'left out, for C lagg does not survive them: lacp churn traffic vlan'
	;;
esac
good=0 bad=0 lines=
for script in ${SUITE:-$all}; do
	began=$(date +%s)
	timeout -k 60 "${LIMIT:-3600}" /bin/sh ./"$script".sh
	status=$?
	if [ $status = 0 ]; then
		good=$((good + 1)) verdict=passed
	else
		bad=$((bad + 1)) verdict="FAILED ($status)"
		[ $status != 124 ] || verdict="FAILED (not done in ${LIMIT:-3600} s)"
	fi
	lines="$lines$script: $verdict, $(($(date +%s) - began)) s
"
	# Stuck in the kernel: the next one would be as well.
	[ $status != 99 ] || break
done
printf '\n%s%s passed, %s failed\n' "$lines" $good $bad
[ $bad = 0 ]
