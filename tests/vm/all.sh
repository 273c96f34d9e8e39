#!/bin/sh
# Runs the scripts below, or those that SUITE names, each for at most LIMIT (3600, and SOAK) seconds, and prints a line for each.
all='sanitizer smoke boot settings state protocols lacp unload churn traffic tags memory vlan vnet notify events netmap infiniband fuzz soak kyua compare'
case $LAGG_KO in
*/if_lagg.ko)
	# There is nothing to compare it with.
	all='smoke protocols unload tags memory vnet netmap infiniband kyua'
	[ -n "$SUITE" ] || echo 'skipped because C lagg does not survive them: lacp churn traffic vlan fuzz soak'
	;;
esac
limit=${LIMIT:-$((3600 + ${SOAK:-0}))}
good=0 bad=0 lines=
for script in ${SUITE:-$all}; do
	began=$(date +%s)
	timeout -k 60 "$limit" /bin/sh ./"$script".sh
	status=$?
	if [ $status = 0 ]; then
		good=$((good + 1)) verdict=passed
	else
		bad=$((bad + 1)) verdict="FAILED ($status)"
		[ $status != 124 ] || verdict="FAILED (not done in $limit s)"
	fi
	lines="$lines$script: $verdict, $(($(date +%s) - began)) s
"
	# Stuck in the kernel: the next one would be too.
	[ $status != 99 ] || break
done
printf '\n%s%s passed, %s failed\n' "$lines" $good $bad
[ $bad = 0 ]
