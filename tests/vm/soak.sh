#!/bin/sh
# For SOAK (300) seconds everything at once: packets at full rate both ways through lagg0, with send tags, while its ports come and
# go, its protocol goes round, cables are cut, and VLANs, groups, addresses, options, settings and its name change. Beside it two
# laggs agree by LACP over epairs that go down and up under floods of IPv4 and IPv6; a third one of an epair and a tap is in a
# bridge, gets other names, moves to jails that end, and is made anew; and jails make laggs of their own.
# In the last sixth the ports and the protocol, lacp, stay. Then all counters balance, to the packet.
. ./lib.sh
. ./balance.sh
begin
SOAK=${SOAK:-300}
kldload -n if_vlan if_bridge if_tuntap 2>/dev/null

traffic_ports 0
sysctl -q kern.lagg_traffic.tags=1 >/dev/null
traffic_ports 6
sysctl -q kern.lagg_traffic.threads="${THREADS:-2}" >/dev/null
sysctl -q net.link.log_link_state_change=0 net.log_promisc_mode_change=0 net.link.bridge.log_mac_flap=0 net.link.tap.up_on_open=1 >/dev/null
chmod +x "$PWD/lagg_control"
for n in 5 6 7; do ifc vlan$n create; done
ifc lagg0 create laggproto loadbalance $(printf 'laggport %s ' $ports) use_flowid up
PROTOCOLS='failover roundrobin loadbalance broadcast lacp none'
# Timers of IPv6's duplicate detection do not survive the end of their network stack: docs/proof.md.
quiet_stack() { "$@" sysctl -q net.inet6.ip6.dad_count=0 net.inet6.ip6.auto_linklocal=0 net.inet.icmp.icmplim=0 net.inet6.icmp6.errppslimit=0 >/dev/null; }

# The pair: lagg1 here, lagg1 in the jail
cables 4
quiet_stack command
quiet_stack jexec $JAIL
HOST_IP6=2001:db8::1 JAIL_IP6=2001:db8::2
ifc lagg1 create laggproto lacp laggport "$P0" laggport "$P1" laggport "$P2" $HOST_IP/24 up
there lagg1 create laggproto lacp laggport "$Q0" laggport "$Q1" laggport "$Q2" $JAIL_IP/24 up
ifc lagg1 inet6 $HOST_IP6/64
there lagg1 inet6 $JAIL_IP6/64
in_service() { [ "$("$@" lagg1 | grep -c 'flags=1c<ACTIVE,COLLECTING,DISTRIBUTING>')" = 3 ]; }
agree() { in_service ifc && in_service there; }
check "the pair agrees" wait_for 30 agree

# The third: on the last cable, in a bridge with a tap
for n in 0 1; do ifc tap$n create up; done
ifc bridge0 create 203.0.113.1/24 addm tap1 up
ifc bridge0 ether 02:00:5e:00:53:b0
there "$Q3" 203.0.113.2/24
# So that what is sent to the bridge is sent, whether it answers or not.
jexec $JAIL arp -s 203.0.113.1 02:00:5e:00:53:b0 >/dev/null

come_and_go() {
	for port in $ports; do ifconfig -n lagg0 -laggport "$port"; done
	for port in $ports; do ifconfig -n lagg0 laggport "$port"; done
}
go_round() {
	for protocol in $PROTOCOLS; do ifconfig -n lagg0 laggproto "$protocol"; sleep 0.3; done
}
cut() {
	for ports_cut in 1 3 6 12 63 32 0; do sysctl -q kern.lagg_traffic.cut=$ports_cut; sleep 0.2; done
}
# vlan(4) does not survive that its parent's address changes while one is destroyed: docs/proof.md.
vlans() {
	for n in 5 6 7; do ifconfig -n vlan$n vlan $n vlandev lagg0 up; done
	ifconfig -n vlan6 ether 02:00:00:00:00:66
	for n in 5 6 7; do ifconfig -n vlan$n -vlandev; done
}
groups() {
	"$PWD/lagg_control" group lagg0 40
	"$PWD/lagg_control" ungroup lagg0 40
}
change() {
	ifconfig -n -v lagg0
	ifconfig -n lagg0 mtu 1400 use_flowid lagghash l2 ether 02:00:00:00:00:55
	ifconfig -n lagg0 down
	ifconfig -n lagg0 up promisc
	ifconfig -n lagg0 mtu 1500 -use_flowid lagghash l2,l3,l4 ether 02:00:00:00:00:56 -promisc
	sysctl net.link.lagg
}
rename() {
	ifconfig -n lagg0 name soak0
	ifconfig -n soak0 name lagg0
	sleep 1
}
# set_all LAGG SETTING...: each is refused where it has no meaning just now, or the lagg has another name.
set_all() {
	lagg=$1
	shift
	for setting; do sysctl -q "net.link.lagg.iface.$lagg.$setting"; done
}
settings() {
	set_all lagg0 min_links=2 primary=lgt3 primary_reselect=failure 'port_priority=lgt1:1 lgt2:100' up_delay=50 down_delay=20 \
	    active=lgt4 notify_peers=3 notify_interval=10 hash_symmetric=1 rebalance=1 lacp.max_links=3 lacp.select=bandwidth \
	    lacp.marker_timeout=100 lacp.system_priority=1 lacp.system_id=02:00:5e:00:53:51 lacp.key=7 lacp.active=0 \
	    lacp.fallback=single lacp.fallback_delay=1
	set_all lagg1 rebalance=1 hash_symmetric=1 lacp.max_links=2 "port_priority=$P1:1" lacp.marker_timeout=10
	sleep 1
	set_all lagg0 min_links=0 primary= primary_reselect=always port_priority= up_delay=0 down_delay=0 \
	    notify_peers=1 notify_interval=1000 hash_symmetric=0 rebalance=0 lacp.max_links=0 lacp.select=priority \
	    lacp.marker_timeout=500 lacp.system_priority=32768 lacp.system_id= lacp.key=0 lacp.active=1 \
	    lacp.fallback=none lacp.fallback_delay=90
	set_all lagg1 rebalance=0 hash_symmetric=0 lacp.max_links=0 port_priority= lacp.marker_timeout=500
	sleep 1
}
tags() {
	for on in 0 1; do sysctl -q kern.lagg_traffic.tags=$on; sleep 2; done
}
pair() {
	for n in 0 1 2; do
		eval "p=\$P$n q=\$Q$n"
		ifconfig "$p" down
		sleep 0.3
		ifconfig "$p" up
		there "$q" down
		sleep 0.3
		there "$q" up
		there lagg1 -laggport "$q"
		there lagg1 laggport "$q"
	done
	ifconfig -n lagg1 inet6 2001:db8::3/64 alias
	ifconfig -n lagg1 inet6 2001:db8::3/64 -alias
}
open_taps() {
	for tap in tap0 tap1; do timeout 1 cat /dev/$tap; done
}
third() {
	jail -i -c name=soak vnet persist
	quiet_stack jexec soak
	ifconfig -n lagg2 create laggproto failover laggport "$P3" laggport tap0 up
	ifconfig -n bridge0 addm lagg2
	sleep 0.5
	ifconfig -n lagg2 laggproto broadcast
	ifconfig -n lagg2 name third
	ifconfig -n third -laggport tap0
	ifconfig -n third laggport tap0
	sysctl -q net.link.lagg.iface.third.min_links=1
	ifconfig -n bridge0 deletem third
	ifconfig -n third vnet soak
	jexec soak ifconfig -n third name inside
	jexec soak ifconfig -n inside inet6 2001:db8:1::1/64 up
	jexec soak ifconfig -n inside 203.0.113.1/24
	jexec soak ping -q -n -c 3 -i 0.1 -W 100 203.0.113.2
	jexec soak sysctl net.link.lagg
	[ $(($(rounds third) % 2)) = 0 ] || ifconfig -n inside -vnet soak
	jail -r soak
	for lagg in lagg2 third inside; do wait_for 10 ifconfig -n $lagg destroy && break; done
}
own() {
	jail -i -c name=own vnet persist
	jexec own ifconfig -n lagg0 create
	epair=$(jexec own ifconfig epair create)
	jexec own ifconfig -n "$epair" up
	jexec own ifconfig -n "${epair%a}b" up
	jexec own ifconfig -n lagg0 laggproto lacp laggport "$epair"
	jexec own ifconfig -n lagg1 create laggproto lacp laggport "${epair%a}b" 198.51.100.1/24 up
	jexec own ifconfig -n lagg0 up
	sleep 2
	[ $(($(rounds own) % 2)) = 0 ] || jexec own ifconfig -n lagg0 destroy
	jail -r own
	wait_for 30 not jls -d -j own
}
always='cut vlans groups change rename settings tags pair open_taps third own'

flow out ping -q -n -f $JAIL_IP
flow in jexec $JAIL ping -q -n -f $HOST_IP
flow out6 ping -6 -q -n -f $JAIL_IP6
flow in6 jexec $JAIL ping -6 -q -n -f $HOST_IP6
flow bridged jexec $JAIL ping -q -n -f 203.0.113.1
frames() { sysctl -n kern.lagg_traffic."$1"; }
rest() { sysctl -q kern.lagg_traffic.cut=0 >/dev/null; }

strange=$(frames others) lacpdus=$(frames lacpdus)
rest
ran $((SOAK - SOAK / 6)) come_and_go go_round $always
rest
ifc lagg0 laggproto none
balanced "soak"
check "soak: beside packets ports sent what LACP sends, no more" same others "$(frames others)" before "$strange"
# 802.1AX 6.4.16: three in a second. A port that joins, or that gets LACP again, begins anew, and says farewell when that ends.
begun=$((6 * ($(rounds come_and_go) + $(rounds go_round) + 2)))
most=$((6 * 3 * (SOAK + 120) + 4 * begun))
check "soak: of that at most so many LACPDUs" between 1 $(($(frames lacpdus) - lacpdus)) $most
# What comes to a port counts from before it joins until it has left. Meanwhile the lagg takes some of that, and of the rest we do
# not know when it came.
check "soak: the lagg has counted what it took or dropped, and nothing that did not come" \
    between $(($(counter as_lagg) + $(counter refused))) $(($(received) - received_before)) "$(counter injected)"

look
lacp_before=$others
for port in $ports; do ifc lagg0 laggport "$port" 2>/dev/null; done
ifc lagg0 laggproto lacp
ran $((SOAK / 6)) $always
rest
balanced "ports stay"
check "ports stay: the lagg has counted all that came" same came "$(counter injected)" ipackets $(($(received) - received_before))
lacp_adds_up() {
	look
	same "LACP's frames" $((others - lacp_before)) counted "$(leaves '^port[.].*[.]lacp[.](pdus|markers|responses)_out:')"
}
check "ports stay: and each frame that LACP has sent" wait_for 10 lacp_adds_up
stop_flows

tags_freed() { same made "$(frames tags_made)" freed "$(frames tags_freed)"; }
check "all send tags are freed" wait_for 5 tags_freed
check "and no port has had another's" [ "$(frames tags_foreign)" = 0 ]
check "some have been sent with" [ "$(frames tags_arrived)" -gt 0 ]

check "the pair agrees again" wait_for 60 agree
no_loss() { ping -q -n -c 100 -i 0.02 "$@" | tee /dev/stderr | grep -q ' 0.0% packet loss'; }
check "and loses nothing" no_loss $JAIL_IP
check "nor of IPv6" no_loss -6 $JAIL_IP6
errors_of() { netstat -I "$1" -n | awk '/<Link/ { print $(NF - 1); exit }'; }
pair_adds_up() {
	unsent=$(leaves "$UNSENT" lagg1)
	# Those that a port could not send are the lagg's, too.
	same "dropped, and its ports' errors" $((unsent + $(errors_of "$P0") + $(errors_of "$P1") + $(errors_of "$P2"))) \
	    oerrors "$(errors_of lagg1)"
}
check "and its reasons add up" pair_adds_up
for j in soak own; do check "no jail $j is left" wait_for 30 not jls -d -j $j; done
check "nor a lagg of the third's names" eval 'gone lagg2 && gone third && gone inside'
