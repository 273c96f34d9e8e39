#!/bin/sh
# The module can be unloaded only when it is not in use, and leaves nothing.
. ./lib.sh
begin

network
ifc lagg0 create laggproto failover laggport "$P0" laggport "$P1" $HOST_IP/24 up
check "traffic" wait_for 10 reaches
flow out ping -q -n -f $JAIL_IP
flow in jexec $JAIL ping -q -n -f $HOST_IP
if is_c; then
	skip "unload under traffic (D-19: C lagg calls a NULL pointer)"
else
	refuses "unload under traffic (D-19)" 'busy' kldunload "$MODULE"
	check "traffic goes on" wait_for 10 reaches
fi
check "destroy under traffic" ifc lagg0 destroy
check "nothing in use of malloc's type lagg before" wait_for 10 none_in_use
check "unload with the jail still sending" kldunload "$MODULE"
check "nothing has leaked" not leaks
refuses "lagg is gone" 'SIOCIFCREATE\|not configured\|Invalid' ifc lagg0 create
stop_flows
check "load again" load

# Unload against create, add, destroy: either it is refused or it leaves nothing.
ROUNDS=${ROUNDS:-1000}
if is_c; then
	skip "unload against create and destroy (D-19)"
else
	life() {
		ifconfig -n lagg0 create && ifconfig -n lagg0 laggport "$P0" laggport "$P1" $HOST_IP/24 up
		ifconfig -n lagg0 destroy
	}
	again life life
	gone=0 refused=0 other=
	while [ $((gone + refused)) -lt $((ROUNDS / 10)) ]; do
		if kldunload "$MODULE" >"$work/out" 2>&1; then
			gone=$((gone + 1))
			kldload "$LAGG_KO" || { other="load after unload"; break; }
		elif grep -q busy "$work/out"; then
			refused=$((refused + 1))
		else
			other=$(cat "$work/out")
			break
		fi
	done
	echo "     unloaded $gone times, refused $refused times, $(rounds life) lives of a lagg"
	: >"$work/out"
	check "unload against create and destroy is clean or refused (D-19) $other" [ -z "$other" ]
	check "and no process is stuck" stop_loops
	check "nothing has leaked" not leaks
fi
load
