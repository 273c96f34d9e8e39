#!/bin/sh
# Every script here, or those that SUITE names; a line for each at the end.
good=0 bad=0 lines=
for script in ${SUITE:-smoke protocols lacp unload churn traffic tags memory vlan vnet netmap infiniband kyua compare}; do
	began=$(date +%s)
	/bin/sh ./"$script".sh
	status=$?
	if [ $status = 0 ]; then
		good=$((good + 1)) verdict=passed
	else
		bad=$((bad + 1)) verdict="FAILED ($status)"
	fi
	lines="$lines$script: $verdict, $(($(date +%s) - began)) s
"
	# Stuck in the kernel: the next one would be as well.
	[ $status != 99 ] || break
done
printf '\n%s%s passed, %s failed\n' "$lines" $good $bad
[ $bad = 0 ]
