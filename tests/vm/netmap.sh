#!/bin/sh
# netmap(4) opens a lagg in emulated mode, and gets all that the lagg receives, whatever happens to
# its ports meanwhile.
. ./lib.sh
begin

if [ ! -x "$PWD/lagg_netmap" ]; then
	skip "no lagg_netmap: make vm-modules builds it"
	exit
elif [ ! -c /dev/netmap ]; then
	skip "this kernel has no netmap"
	exit
elif [ "$(uname -K)" -lt 1500000 ]; then
	skip "FreeBSD 14's netmap panics when epair(4) sends for it, without a lagg too"
	exit
fi
INSIDE=lagg_inside
[ -z "$(jls -j $INSIDE name 2>/dev/null)" ] || jail -r $INSIDE

# By default netmap allocates buffers for ten NICs, for which this machine may lack the memory.
sysctl -q dev.netmap.buf_num=16384 >/dev/null
network
ifc lagg0 create laggport "$P0" $HOST_IP/24 up
check "a lagg carries traffic" wait_for 10 reaches

# take COMMAND...: netmap has lagg0, and a program counts the frames and forwards them
take() {
	"$@" "$PWD/lagg_netmap" lagg0 >"$work/frames" 2>"$work/frames.err" &
	netmap=$!
	wait_for 10 test -s "$work/frames" || cat "$work/frames.err"
}
give() {
	kill "$netmap" 2>/dev/null
	wait "$netmap" 2>/dev/null
	:
}
from_wire() { sed 's/from the wire 0*\([0-9][0-9]*\),.*/\1/' "$work/frames"; }
to_wire() { sed 's/.*to the wire 0*\([0-9][0-9]*\)$/\1/' "$work/frames"; }
# through_netmap COMMAND...: it succeeds, and the frames that it causes go through netmap
through_netmap() {
	in=$(from_wire) out=$(to_wire)
	wait_for 10 "$@" || return
	cat "$work/frames" "$work/frames.err"
	[ "$(from_wire)" -gt "$in" ] && [ "$(to_wire)" -gt "$out" ]
}
# keeps NAME COMMAND...: after the command, frames still go through netmap
keeps() {
	name=$1
	shift
	if "$@" >"$work/out" 2>&1; then
		check "$name: still through netmap (F-7b)" through_netmap reaches
	else
		fail "$name"
	fi
}

check "netmap takes it" take env
check "traffic goes through netmap, both ways" through_netmap reaches
check "the lagg says so" has lagg0 NETMAP
replies() { [ "$(grep -c reply "$work/dump")" -ge "$1" ]; }
shown() {
	tcpdump -n -l -i lagg0 'icmp[icmptype] == icmp-echoreply' >"$work/dump" 2>"$work/dump.err" &
	dump=$!
	wait_for 20 grep -q listening "$work/dump.err" || return
	ping -q -n -c 5 -i 0.1 $JAIL_IP || return
	wait_for 10 replies 10
	kill $dump
	wait $dump
	cat "$work/dump" "$work/dump.err"
	[ "$(grep -c reply "$work/dump")" = 10 ]
}
check "bpf(4) is shown what netmap gets, and what it hands on to the stack" shown
keeps "a port joins" ifc lagg0 laggport "$P1"
keeps "capabilities of a port" ifc "$P1" -txcsum
keeps "MTU" ifc lagg0 mtu 1400
for protocol in roundrobin loadbalance broadcast failover; do
	keeps "$protocol" ifc lagg0 laggproto $protocol
done
keeps "down and up" eval 'ifc lagg0 down && ifc lagg0 up'
keeps "the first port leaves" ifc lagg0 -laggport "$P0"
keeps "it joins again" eval 'ifc "$P0" up && ifc lagg0 laggport "$P0"'
ifc lagg1 create
refuses "it is still known as a lagg" 'Invalid argument' ifc lagg1 laggport lagg0
ifc lagg1 destroy
vlan() {
	ifc vlan7 create vlan 7 vlandev lagg0 && ifc vlan7 destroy
}
keeps "VLANs on it come and go" vlan
flow out ping -q -n -f $JAIL_IP
flow in jexec $JAIL ping -q -n -f $HOST_IP
again ports eval 'ifc lagg0 -laggport $P1; ifc lagg0 laggport $P1'
again protocols eval 'for p in roundrobin loadbalance broadcast failover; do ifc lagg0 laggproto $p; done'
often() { [ "$(rounds ports)" -ge 20 ] && [ "$(rounds protocols)" -ge 20 ]; }
check "ports and protocols change under load" wait_for 600 often
stop_loops
stop_flows
check "it still goes through netmap after (F-7b)" through_netmap reaches
give
check "given back, the lagg does not say so any more" hasnt lagg0 NETMAP
check "and carries traffic by itself" wait_for 10 reaches
check "netmap takes it again" take env
check "through netmap again" through_netmap reaches
ifc lagg0 destroy
check "it can be destroyed under netmap" gone lagg0
give

if is_c; then
	skip "netmap in another vnet than the ports (F-31)"
	exit
fi
jail -i -c name=$INSIDE vnet persist >/dev/null
inside() { jexec $INSIDE "$@"; }
moved() {
	ifc "$P0" up && ifc "$P1" up && ifc lagg0 create laggport "$P0" laggport "$P1" up || return
	ifconfig lagg0 vnet $INSIDE && inside ifconfig -n lagg0 $HOST_IP/24 up
}
from_inside() { inside ping -q -n -c 1 -W 1000 $JAIL_IP >/dev/null; }
check "a lagg moves to a jail, its ports stay" moved
check "it carries traffic" wait_for 20 from_inside
check "netmap takes it there" take jexec $INSIDE
check "its traffic goes through netmap (F-31)" through_netmap from_inside
give
check "given back, it carries traffic by itself" wait_for 10 from_inside
inside ifconfig -n lagg0 destroy
jail -r $INSIDE
wait_for 30 not jls -d -j $INSIDE >/dev/null 2>&1
