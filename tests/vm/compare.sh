#!/bin/sh
# `ifconfig -v lagg0` prints exactly the same with C lagg and with ours, over the same ports.
. ./lib.sh
begin
if [ ! -f "$C_KO" ]; then
	skip "no $C_KO to compare with"
	exit 0
fi

network
# The ports keep their addresses and indices; the lagg gets the same index again.
show() {
	echo "-- $1" | tee -a "$to.ports" >>"$to.lagg"
	ifconfig -n -v lagg0 >>"$to.lagg"
	ifconfig -n "$P0" >>"$to.ports"
	ifconfig -n "$P1" >>"$to.ports"
}
scenes() {
	ifc lagg0 create
	show new
	ifc lagg0 laggport "$P0"
	wait_for 10 has lagg0 'status: active'
	show 'one port'
	ifc lagg0 laggport "$P1" $HOST_IP/24 up
	wait_for 10 reaches
	show 'two ports, up'
	ifc lagg0 mtu 1400 promisc
	wait_for 5 has "$P1" PROMISC
	show 'MTU, promiscuous'
	ifc lagg0 mtu 1500 -promisc
	wait_for 5 hasnt "$P1" PROMISC
	ifc "$P0" down
	show 'master down'
	ifc "$P0" up
	ifc lagg0 laggproto none
	show 'none'
	ifc lagg0 laggproto failover lagghash l3,l4 use_flowid flowid_shift 8
	show 'options'
	ifc lagg0 -laggport "$P0"
	show 'master removed'
	ifc lagg0 down
	wait_for 10 has lagg0 'status: no carrier'
	show 'down'
	ifc lagg0 destroy
	ifc "$P0" up
	ifc "$P1" up
}
with() {
	kldunload "$(kldstat | awk '$5 ~ /^if_lagg(_rs)?\.ko$/ { sub(/\.ko/, "", $5); print $5 }')"
	kldload "$1" || return
	to=$2
	scenes
}
check "C lagg's" with "$C_KO" "$work/c"
check "ours" with "$LAGG_KO" "$work/ours"
scenes=$(grep -c '^--' "$work/c.lagg")
check "ifconfig -v lagg0 is the same, $scenes scenes" diff -u "$work/c.lagg" "$work/ours.lagg"
check "ifconfig of its ports is the same" diff -u "$work/c.ports" "$work/ours.ports"
grep -q 'laggport:.*MASTER' "$work/c.lagg" || fail "the scenes show no port"
