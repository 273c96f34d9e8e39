#!/bin/sh
# LACP keeps time: LAGGS (20) laggs with PORTS (2) ports each, and as many in a jail, all with the short timeout. For SECONDS (60) all
# CPUs are busy, with programs and with pings every INTERVAL (0.01) seconds on some of the laggs, and no port may leave service. A flood
# would fill epair(4), all of which have one thread: it loses LACPDUs then.
#
# Say VM_ICOUNT=4, or on a busy host a virtual machine has seconds in which it does nothing.
. ./lib.sh
begin
LAGGS=${LAGGS:-20}
PORTS=${PORTS:-2}
SECONDS=${SECONDS:-60}
INTERVAL=${INTERVAL:-0.01}
ALL=$((2 * LAGGS * PORTS))

# each SIDE...: `ifconfig -v` of all laggs on these sides
each() {
	for side; do
		for lagg in $laggs; do $side -v "$lagg"; done
	done
}
in_service() { [ "$(each ifc there | grep -c 'flags=1c<ACTIVE,COLLECTING,DISTRIBUTING>')" = $ALL ]; }
flaps() { each ifc there | awk '$1 == "flapping:" { n += $2 } END { print n + 0 }'; }
heard() {
	for lagg in $laggs; do leaves '^port[.].*[.]lacp[.]pdus_in:' "$lagg"; done |
		awk '{ n += $1 } END { print n + 0 }'
}

cables $((LAGGS * PORTS))
laggs= n=0
while [ $n -lt $((LAGGS * PORTS)) ]; do
	lagg=lagg$((n / PORTS))
	if [ $((n % PORTS)) = 0 ]; then
		laggs="$laggs $lagg"
		for side in ifc there; do $side $lagg create laggproto lacp lacp_fast_timeout up; done
	fi
	eval "ifc $lagg laggport \$P$n"
	eval "there $lagg laggport \$Q$n"
	n=$((n + 1))
done
check "$LAGGS laggs with $PORTS ports each are in service on both sides" wait_for $((60 + ALL)) in_service

# They are alone on their networks.
n=0
for lagg in $(echo $laggs | cut -d ' ' -f 1-4); do
	ifc $lagg 192.0.2.$((4 * n + 1))/30
	there $lagg 192.0.2.$((4 * n + 2))/30
	flow pings$n ping -q -i $INTERVAL 192.0.2.$((4 * n + 2))
	n=$((n + 1))
done
for n in $(jot "$(sysctl -n hw.ncpu)"); do flow busy$n sh -c 'while :; do :; done'; done
# Before all of them. If it does not run, the machine itself stands still, as a virtual one may.
flow clock rtprio 0 sh -c 'while sleep 0.5; do date +%s; done'
# still: the seconds for which it did not
still() { awk 'NR > 1 && $1 - last > most { most = $1 - last } { last = $1 } END { print most + 0 }' "$work/flow.clock"; }
wait_for 60 [ -s "$work/flow.clock" ]

before=$(flaps) first=$(heard) began=$(date +%s)
idle=$(sysctl -n kern.cp_time | awk '{ print $5 }')
while [ $(($(date +%s) - began)) -lt "$SECONDS" ]; do
	sleep 10
	echo "     $(($(date +%s) - began)) s: $(($(flaps) - before)) have left service, still for $(still) s"
done
took=$(($(date +%s) - began)) idle=$(($(sysctl -n kern.cp_time | awk '{ print $5 }') - idle))
heard=$(($(heard) - first))
echo "     $took s: $heard LACPDUs came in here; the CPUs were idle for $idle ticks"
after=$(flaps)
if [ "$after" != "$before" ] && [ "$(still)" -ge 3 ]; then
	skip "no port has left service: the machine stood still for $(still) s"
else
	check "no port has left service (F-83)" [ "$after" = "$before" ]
fi
check "all are in it" in_service
check "as many LACPDUs came as keep a partner" [ $heard -ge $((ALL / 2 * took / 3)) ]
check "the CPUs were busy" [ $idle -lt $((took * $(sysctl -n kern.clockrate | sed 's/.*stathz = \([0-9]*\).*/\1/') / 5)) ]
