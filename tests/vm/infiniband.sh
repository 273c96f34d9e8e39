#!/bin/sh
# InfiniBand laggs, over interfaces of a simulated fabric (lagg_infiniband.ko): ibt0, ibt1 and ibt3
# here, their peer ibt2 in a jail.
. ./lib.sh
begin

infiniband_ports 4
set_port() { sysctl -q kern.lagg_infiniband."$1=$2" >/dev/null; }
lladdr() { ifconfig -n "$1" | awk '/lladdr/ { print $2 }'; }
# address_of IF: the lagg's is that interface's
address_of() { [ "$(lladdr lagg0)" = "$(lladdr "$1")" ]; }
is_port() { has lagg0 "laggport: $1 "; }
opackets() { netstat -I "$1" -n -b | awk '/<Link/ { print $(NF - 3); exit }'; }
ipackets() { netstat -I "$1" -n -b | awk '/<Link/ { print $(NF - 7); exit }'; }

jail -i -c name=$JAIL vnet persist >/dev/null || exit 1
ifconfig ibt2 vnet $JAIL && jexec $JAIL ifconfig ibt2 $JAIL_IP/24 up || exit 1
sysctl -q net.inet.icmp.icmplim=0 >/dev/null
jexec $JAIL sysctl -q net.inet.icmp.icmplim=0 >/dev/null

# What it accepts, and what it refuses
check "create" ifc lagg0 create laggtype infiniband
check "failover is its protocol" has lagg0 'laggproto failover'
check "it has no address" has lagg0 'lladdr 0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0$'
for protocol in none roundrobin loadbalance lacp broadcast; do
	refuses "no $protocol" 'Protocol not supported' ifc lagg0 laggproto $protocol
done
check "failover again" ifc lagg0 laggproto failover
epair=$(ifconfig epair create)
ifc lagg1 create
refuses "an Ethernet port" 'Protocol not supported' ifc lagg0 laggport "$epair"
refuses "InfiniBand in an Ethernet lagg" 'Protocol not supported' ifc lagg1 laggport ibt0
refuses "an Ethernet lagg" 'Protocol not supported' ifc lagg0 laggport lagg1
ifc lagg1 destroy
ifc lagg1 create laggtype infiniband
refuses "another InfiniBand lagg" 'Invalid argument' ifc lagg0 laggport lagg1
ifc lagg1 destroy
refuses "media" 'SIOCGIFMEDIA\|SIOCGIFXMEDIA\|Invalid argument\|not supported' ifc lagg0 media autoselect
check "none are shown" hasnt lagg0 'media:'
refuses "an Ethernet address" 'Invalid argument\|not supported' ifc lagg0 ether 02:00:00:00:00:77
refuses "another type" 'invalid lagg type' ifc lagg1 create laggtype bogus
refuses "the type of what is there" 'laggtype\|create' ifc lagg0 laggtype ethernet

# Ports, addresses
own=$(lladdr ibt1)
ifc ibt0 mtu 2044
check "add two ports" ifc lagg0 laggport ibt0 laggport ibt1
check "it has the first one's address" address_of ibt0
check "and MTU" has lagg0 'mtu 2044'
check "which the second has now" has ibt1 'mtu 2044'
check "but its own address" [ "$(lladdr ibt1)" = "$own" ]
check "an address, and up" ifc lagg0 $HOST_IP/24 up
check "the first is master and active" has lagg0 'laggport: ibt0 flags=5<MASTER,ACTIVE>'
check "the ports are up" is_up ibt1
check "the jail answers" wait_for 10 reaches
check "and reaches us" jexec $JAIL ping -q -n -c 3 -i 0.2 $HOST_IP
peer_knows() { jexec $JAIL arp -an | grep -q "($HOST_IP) at $(lladdr "$1") "; }
check "to which it has the port's address" peer_knows ibt0
ifc lagg0
jexec $JAIL arp -an

# Both directions, IPv6, multicast, bpf, counters
in=$(ipackets lagg0) out=$(opackets ibt0)
shown() {
	tcpdump -n -i lagg0 -c 6 icmp >"$work/tcpdump" 2>&1 &
	tcpdump=$!
	wait_for 20 grep -q 'listening on' "$work/tcpdump"
	ping -q -n -c 3 -i 0.2 $JAIL_IP
	wait_for 10 not kill -0 $tcpdump 2>/dev/null
	cat "$work/tcpdump"
	[ "$(grep -c 'echo request' "$work/tcpdump")" = 3 ] && [ "$(grep -c 'echo reply' "$work/tcpdump")" = 3 ]
}
check "bpf(4) shows each frame once" shown
counted() {
	echo "$in, $(ipackets lagg0) in; $out, $(opackets ibt0) out"
	[ "$(ipackets lagg0)" -ge $((in + 3)) ] && [ "$(opackets ibt0)" -ge $((out + 3)) ]
}
check "they are counted" counted
jexec $JAIL ifconfig ibt2 inet6 -ifdisabled auto_linklocal
ifc lagg0 inet6 -ifdisabled auto_linklocal
six() {
	peer=$(jexec $JAIL ifconfig -n ibt2 | awk '/inet6 fe80:/ { sub(/%.*/, "", $2); print $2 }')
	ping6 -q -n -c 1 "$peer%lagg0"
}
check "IPv6 too" wait_for 20 six
hears() {
	ifmcstat -v -i "$1" >"$work/groups"
	cat "$work/groups"
	grep -q '00:ff:ff:ff:ff:12:40:1b' "$work/groups"
}
check "its groups are the ports'" hears ibt1

# The address follows
flow ping ping -n -i 0.1 $JAIL_IP
ping=$(tail -n 1 "$work/flows")
replies() { [ "$(grep -c 'bytes from' "$work/flow.ping")" -ge "$1" ]; }
more_replies() { wait_for 20 replies $(($(grep -c 'bytes from' "$work/flow.ping") + $1)); }
more_replies 10
# moves PORT COMMAND...: after the command the lagg's address is that port's, the peer has it, and
# traffic continues
moves() {
	port=$1
	shift
	"$@"
	began=$(date +%s%N)
	wait_for 20 address_of "$port" || { ifc lagg0; return 1; }
	echo "     after $((($(date +%s%N) - began) / 1000000)) ms" >&3
	more_replies 10 && peer_knows "$port"
}
exec 3>&1
check "to the second port when the link of the first goes" moves ibt1 set_port 0.link 0
check "which is active then" has lagg0 'laggport: ibt1 flags=4<ACTIVE>'
check "and back" moves ibt0 set_port 0.link 1
check "when a port is set down" moves ibt1 ifc ibt0 down
check "and up" moves ibt0 ifc ibt0 up
check "when the subnet manager gives another" moves ibt0 set_port 0.guid 99
check "when the primary is removed" moves ibt1 ifc lagg0 -laggport ibt0
check "which is no port then" ifc ibt0 mtu 1500
check "and has its own address" has ibt0 '[.]63$'
check "it joins again" ifc lagg0 laggport ibt0
check "as a port that waits" has lagg0 'laggport: ibt0 flags=0<>'
check "with the lagg's MTU" has ibt0 'mtu 2044'
kill -INT "$ping"
wait "$ping"
echo "     $(grep 'packet loss' "$work/flow.ping")"
none_active() {
	before=$(lladdr lagg0)
	set_port 0.link 0
	set_port 1.link 0
	wait_for 10 has lagg0 'no carrier' || has lagg0 'flags=0<>' || return
	sleep 2
	not reaches && [ "$(lladdr lagg0)" = "$before" ]
}
check "it stays while none is active" none_active
heal() {
	set_port 0.link 1
	wait_for 10 address_of ibt0 && wait_for 10 reaches && peer_knows ibt0
}
check "and follows the first that is" heal
set_port 1.link 1
partition() {
	for n in 0 1 2 3; do set_port $n.partition 2; done
	sleep 2
	arp -d -a
	jexec $JAIL arp -d -a
	wait_for 10 reaches
}
check "broadcasts go to the partition that the port is in" partition

# MTU
check "the MTU" ifc lagg0 mtu 4000
check "is its ports'" has ibt1 'mtu 4000'
refuses "not of one alone" 'Invalid argument' ifc ibt0 mtu 2044
refuses "nor what they refuse" 'Invalid argument' ifc lagg0 mtu 5000
check "which changes nothing" has ibt0 'mtu 4000'

# Down, departures
check "down" ifc lagg0 down
check "takes the ports down" not is_up ibt0
check "up" ifc lagg0 up
check "and frames go" wait_for 10 reaches
check "a port that is renamed stays" sh -c "ifconfig -n ibt1 name port1 && ifconfig -n lagg0 | grep -q 'laggport: port1'"
ifconfig port1 name ibt1 >/dev/null
ifc lagg0 laggport ibt3
check "a port that is destroyed leaves" sysctl -q kern.lagg_infiniband.ports=3
check "and the others carry on" wait_for 10 reaches
check "it is none" not is_port ibt3
check "a port that moves to a jail leaves" ifconfig ibt1 vnet $JAIL
check "it is none" not is_port ibt1
ifconfig ibt1 -vnet $JAIL
check "it comes back" ifc lagg0 laggport ibt1

# A lagg that is in another vnet than its ports
if is_c; then
	skip "frames in the lagg's vnet (F-31)"
else
	jail -i -c name=lagg_inside vnet persist >/dev/null
	move() { ifconfig lagg0 vnet lagg_inside && jexec lagg_inside ifconfig -n lagg0 $HOST_IP/24 up; }
	check "the lagg moves to a jail" move
	from_inside() { jexec lagg_inside ping -q -n -c 1 -W 1000 $JAIL_IP >/dev/null; }
	check "with traffic (F-31)" wait_for 10 from_inside
	set_port 0.link 0
	check "which goes on over the other port" wait_for 10 from_inside
	set_port 0.link 1
	ended() { jail -r lagg_inside && wait_for 30 not jls -d -j lagg_inside >/dev/null 2>&1; }
	check "the jail ends" ended
	check "the lagg is home" wait_for 20 is_port ibt1
	ifc lagg0 $HOST_IP/24 up
	check "and carries traffic" wait_for 10 reaches
fi

# Everything at once, and unloading
refuses "unload while there is a lagg (D-19)" 'busy' kldunload "$MODULE"
load
gone lagg0 && ifc lagg0 create laggtype infiniband laggport ibt0 laggport ibt1 $HOST_IP/24 up
flow out ping -q -n -f $JAIL_IP
flow in jexec $JAIL ping -q -n -f $HOST_IP
flap() { set_port 0.link 0; set_port 0.link 1; set_port 1.link 0; set_port 1.link 1; }
join_leave() { ifconfig -n lagg0 -laggport ibt0; ifconfig -n lagg0 laggport ibt0 && ifconfig -n lagg0 -laggport ibt1; ifconfig -n lagg0 laggport ibt1; }
updown() { ifconfig -n lagg0 down; ifconfig -n lagg0 mtu 1500 up; ifconfig -n lagg0 mtu 2044; }
life() { ifconfig -n lagg0 destroy; ifconfig -n lagg0 create laggtype infiniband laggport ibt0 laggport ibt1 $HOST_IP/24 up; }
storm() {
	sleep "${SECS:-20}"
	stop_loops
}
if is_c; then
	skip "links, ports, up and down at once, under traffic (D-5: C lagg reads through a NULL if_lagg)"
else
	again flap flap
	again join_leave join_leave
	again updown updown
	check "links, ports, up and down at once, under traffic" storm
	again flap flap
	again join_leave join_leave
	again life life
	check "and the lagg itself" storm
fi
gone lagg0 && ifc lagg0 create laggtype infiniband
ifc lagg0 laggport ibt0 laggport ibt1 $HOST_IP/24 up 2>/dev/null
set_port 0.link 1
set_port 1.link 1
check "after which it works" wait_for 20 reaches
check "destroy under traffic" ifc lagg0 destroy
check "the ports are none" ifc ibt0 mtu 1500
stop_flows
check "nothing in use of malloc's type lagg before" wait_for 10 none_in_use
check "unload" kldunload "$MODULE"
check "nothing has leaked (D-19)" not leaks
load
