#!/bin/sh
# Laggs and their ports in vnet jails: created there, moved there and back, destroyed there, and
# ended with the jail.
. ./lib.sh
begin

INSIDE=lagg_inside
[ -z "$(jls -j $INSIDE name 2>/dev/null)" ] || jail -r $INSIDE
inside() { jexec $INSIDE "$@"; }
as_nobody() { inside chroot -u 65534 -g 65534 / "$@"; }
new_jail() { jail -i -c name=$INSIDE vnet persist >/dev/null && inside sysctl -q net.inet.icmp.icmplim=0 >/dev/null; }
# end_jail: removes the jail, and waits until it is gone, which only the return of its interfaces
# shows
end_jail() {
	jail -r $INSIDE || return
	wait_for 30 not jls -d -j $INSIDE >/dev/null 2>&1
}
mac() { ifconfig -n "$1" | awk '/ether/ { print $2 }'; }
mtu() { ifconfig -n "$1" | awk '{ print $NF; exit }'; }
# own PORT: it is here, is not a port, and is as it was made
own() {
	eval "was=\$MAC_$1"
	ifconfig -n "$1"
	[ "$(mac "$1")" = "$was" ] && [ "$(mtu "$1")" = 1500 ] && hasnt "$1" PROMISC
}
both_own() { wait_for 20 own "$P0" && own "$P1"; }
is_port() { has lagg0 "laggport: $1 "; }
no_port() { hasnt lagg0 "laggport: $1 "; }

network
for p in "$P0" "$P1"; do eval "MAC_$p=$(mac "$p")"; done

from_inside() { inside ping -q -n -c 1 -W 1000 $JAIL_IP >/dev/null; }
to_inside() { jexec $JAIL ping -q -n -c 1 -W 1000 $HOST_IP >/dev/null; }
both_ways() { wait_for 20 from_inside && wait_for 20 to_inside; }

# A lagg of the jail's own
for protocol in failover lacp; do
	new_jail
	ifconfig "$P0" vnet $INSIDE
	ifconfig "$P1" vnet $INSIDE
	made() {
		inside ifconfig "$P0" up && inside ifconfig "$P1" up || return
		inside ifconfig -n lagg0 create laggproto failover laggport "$P0" laggport "$P1" $HOST_IP/24 up
	}
	check "$protocol: a jail makes a lagg of ports that came to it" made
	check "$protocol: it carries traffic both ways" both_ways
	[ $protocol = failover ] || inside ifconfig -n lagg0 laggproto $protocol
	refuses "$protocol: a user of the jail's may not change it" 'not permitted' as_nobody ifconfig -n lagg0 laggproto none
	check "$protocol: the jail ends with it" end_jail
	check "$protocol: the ports come home with their own addresses" both_own
	check "$protocol: nothing is left (F-9)" wait_for 20 none_in_use
	ifc "$P0" up
	ifc "$P1" up
done

# A port moves away and comes back (F-10)
ifc lagg0 create laggport "$P0" laggport "$P1" mtu 1400 $HOST_IP/24 promisc up
check "a lagg here carries traffic" wait_for 20 reaches
new_jail
ifconfig "$P1" vnet $INSIDE
there() {
	inside ifconfig "$P1"
	[ "$(inside ifconfig "$P1" | awk '/ether/ { print $2 }')" = "$(eval echo "\$MAC_$P1")" ] &&
		inside ifconfig "$P1" | grep -q 'mtu 1500' && ! inside ifconfig "$P1" | grep -q PROMISC
}
if is_c; then
	skip "a port arrives in a jail as it was before (F-10)"
else
	check "a port arrives in a jail as it was before (F-10)" there
fi
check "and is no port any more" no_port "$P1"
check "the other one carries traffic" wait_for 20 reaches
ifconfig "$P1" -vnet $INSIDE
check "it comes back as it went (F-10)" own "$P1"
ifc "$P1" up
check "and is a port again" ifc lagg0 laggport "$P1"
ifc lagg0 -promisc
ifc lagg0 destroy
check "ports have their own back (F-10)" both_own

# A lagg moves to a jail, and its ports stay (F-31, D-18)
if is_c; then
	skip "a lagg in a jail, its ports here (F-31, D-18)"
	exit
fi
ifc "$P0" up
ifc "$P1" up
move_in() {
	ifc lagg0 create laggport "$P0" laggport "$P1" up || return
	ifconfig lagg0 vnet $INSIDE && inside ifconfig -n lagg0 $HOST_IP/24 up
}
check "a lagg moves to a jail" move_in
check "its ports stay here" has "$P0" UP
listed() { inside ifconfig -n lagg0 | grep -q "laggport: $1 "; }
check "and are its ports" listed "$P0"
check "the jail has traffic both ways (F-31)" both_ways
bytes_in() { inside netstat -I lagg0 -n -b | awk '/<Link/ { print $(NF - 4); exit }'; }
counted() {
	inside tcpdump -n -l -i lagg0 'icmp[icmptype] == icmp-echo' >"$work/dump" 2>"$work/dump.err" &
	dump=$!
	wait_for 20 grep -q listening "$work/dump.err" || return
	before=$(bytes_in)
	jexec $JAIL ping -q -n -c 10 -i 0.1 -s 1000 $HOST_IP || return
	sleep 1
	after=$(bytes_in)
	kill $dump
	wait $dump
	cat "$work/dump" "$work/dump.err"
	echo "$before bytes, then $after"
	# 1042 bytes each, and little else.
	[ $((after - before)) -ge 10420 ] && [ $((after - before)) -lt 12000 ] && [ "$(grep -c 'echo request' "$work/dump")" = 10 ]
}
check "each frame is counted and shown by bpf(4) once" counted
refuses "its user may not change it" 'not permitted' as_nobody ifconfig -n lagg0 -laggport "$P0"
flow out inside ping -q -n -f $JAIL_IP
flow in jexec $JAIL ping -q -n -f $HOST_IP
busy() {
	for protocol in roundrobin loadbalance broadcast lacp failover; do
		inside ifconfig -n lagg0 laggproto $protocol || return
		inside ifconfig -n lagg0 down && inside ifconfig -n lagg0 mtu 1400 promisc up || return
		inside ifconfig -n lagg0 mtu 1500 -promisc || return
	done
}
check "its root sets it, under traffic" busy
check "and has traffic after" both_ways
round() {
	n=0
	while [ $n -lt 10 ]; do
		ifconfig lagg0 -vnet $INSIDE && ifc lagg0 $HOST_IP/24 up || return
		wait_for 20 reaches || return
		ifconfig lagg0 vnet $INSIDE && inside ifconfig -n lagg0 $HOST_IP/24 up || return
		wait_for 20 from_inside || return
		n=$((n + 1))
	done
}
check "it moves there and back ten times under traffic" round
check "its root destroys it under traffic (D-18)" inside ifconfig -n lagg0 destroy
check "the ports have their own back" both_own
stop_flows
ifc "$P0" up
ifc "$P1" up

# What the jail's end does to a lagg whose ports are elsewhere
check "a lagg moves to a jail again" move_in
check "with traffic" both_ways
check "the jail ends" end_jail
check "the lagg is home, with its ports" wait_for 20 is_port "$P0"
ifc lagg0 $HOST_IP/24 up
check "and carries traffic" wait_for 20 reaches
ifc lagg0 destroy
check "ports have their own back after" both_own
ifc "$P0" up
ifc "$P1" up
made_there() {
	new_jail || return
	inside ifconfig -n lagg5 create || return
	# The jail's lagg comes here, gets a port of ours, and goes back.
	ifconfig lagg5 -vnet $INSIDE && ifc lagg5 laggport "$P0" up && ifconfig lagg5 vnet $INSIDE || return
	inside ifconfig -n lagg5 $HOST_IP/24 laggproto lacp up
	inside ifconfig -n lagg5 | grep -q "laggport: $P0 "
}
check "a lagg of the jail's has a port here" made_there
flow in jexec $JAIL ping -q -n -f $HOST_IP
check "the jail ends" end_jail
check "the port is its own" wait_for 20 both_own
stop_flows

# The protocols of a vnet that ends go before its laggs.
tells_peers() {
	new_jail || return
	p=$(inside ifconfig epair create) && q=$(inside ifconfig epair create) || return
	inside ifconfig "${p%a}b" up && inside ifconfig "${q%a}b" up || return
	inside ifconfig -n lagg0 create laggport "$p" laggport "$q" $HOST_IP/24 up || return
	for setting in notify_peers=255 notify_interval=10 primary="$q"; do
		inside sysctl net.link.lagg.iface.lagg0.$setting || return
	done
}
if is_c; then
	skip "a jail ends while a lagg tells its peers where it is"
else
	for round in 1 2 3 4 5; do
		check "a lagg tells its peers where it is" tells_peers
		check "the jail ends meanwhile" end_jail
	done
fi
