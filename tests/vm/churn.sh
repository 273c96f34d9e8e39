#!/bin/sh
# ROUNDS (1000) of adding and removing ports, down to none, while traffic flows in both directions.
. ./lib.sh
begin
ROUNDS=${ROUNDS:-1000}

network
ifc lagg0 create laggproto failover laggport "$P0" laggport "$P1" $HOST_IP/24 up
check "traffic before" wait_for 10 reaches
flow out ping -q -n -f $JAIL_IP
flow in jexec $JAIL ping -q -n -f $HOST_IP

churn() {
	n=0
	while [ $n -lt "$ROUNDS" ]; do
		case $((n % 4)) in
		0) set -- -laggport "$P0" laggport "$P0" ;;
		1) set -- -laggport "$P1" laggport "$P1" ;;
		2) set -- -laggport "$P0" -laggport "$P1" laggport "$P1" laggport "$P0" ;;
		3) set -- -laggport "$P1" -laggport "$P0" laggport "$P0" laggport "$P1" ;;
		esac
		ifc lagg0 "$@" || { echo "round $n: $*"; return 1; }
		n=$((n + 1))
		[ $((n % 100)) != 0 ] || echo "     $n rounds" >/dev/console
	done
}
check "$ROUNDS rounds of add and remove under traffic" churn
both() { has lagg0 "laggport: $P0" && has lagg0 "laggport: $P1"; }
check "both ports are there" both
stop_flows
check "traffic after" wait_for 20 reaches

if ! is_c; then
	ifc lagg1 create
	ifc lagg0 -laggport "$P1"
	again first ifconfig -n lagg0 laggport "$P1" -laggport "$P1"
	again second ifconfig -n lagg1 laggport "$P1" -laggport "$P1"
	enough() { [ "$(rounds first)" -ge $((ROUNDS / 10)) ] && [ "$(rounds second)" -ge $((ROUNDS / 10)) ]; }
	check "two laggs fight for a port (D-15)" wait_for 300 enough
	check "and neither is stuck" stop_loops
	alone() { [ "$(for l in lagg0 lagg1; do ifconfig -n $l; done | grep -c "laggport: $P1")" -le 1 ]; }
	check "at most one has it" alone
fi
