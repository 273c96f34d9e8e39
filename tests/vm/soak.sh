#!/bin/sh
# For SOAK (300) seconds everything at once: packets at full rate both ways through lagg0 while its ports come and go, its
# protocol goes round, cables are cut, and VLANs, groups, addresses and options change. Beside it two laggs agree by LACP over
# epairs that go down and up under floods. Then the counters balance with what became of the packets.
. ./lib.sh
. ./balance.sh
begin
SOAK=${SOAK:-300}
kldload -n if_vlan

traffic_ports 6
sysctl -q kern.lagg_traffic.threads="${THREADS:-2}" >/dev/null
chmod +x "$PWD/lagg_control"
for n in 5 6 7; do ifc vlan$n create; done
ifc lagg0 create laggproto loadbalance $(printf 'laggport %s ' $ports) up
lacp=lacp
PROTOCOLS='failover roundrobin loadbalance broadcast lacp none'

# The pair: lagg1 here, lagg1 in the jail
cables 3
ifc lagg1 create laggproto lacp laggport "$P0" laggport "$P1" laggport "$P2" $HOST_IP/24 up
there lagg1 create laggproto lacp laggport "$Q0" laggport "$Q1" laggport "$Q2" $JAIL_IP/24 up
in_service() { [ "$("$@" lagg1 | grep -c 'flags=1c<ACTIVE,COLLECTING,DISTRIBUTING>')" = 3 ]; }
agree() { in_service ifc && in_service there; }
check "the pair agrees" wait_for 30 agree

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
}

sent_by_ports() {
	for port in $ports; do netstat -I "$port" -n -b | awk '/<Link/ { print $(NF - 3); exit }'; done | awk '{ n += $1 } END { print n }'
}
received() { netstat -I lagg0 -n -b | awk '/<Link/ { print $(NF - 7); exit }'; }

flow out ping -q -n -f $JAIL_IP
flow in jexec $JAIL ping -q -n -f $HOST_IP
by_ports_before=$(sent_by_ports) received_before=$(received)
sysctl -q kern.lagg_traffic.cut=0 >/dev/null
ran "$SOAK" come_and_go go_round cut vlans groups change pair
stop_flows
sysctl -q kern.lagg_traffic.cut=0 >/dev/null
balanced soak
# What the ports have sent beside those packets is LACP's.
arrived=$(($(counter sent) + $(counter copies))) by_ports=$(($(sent_by_ports) - by_ports_before))
check "soak: the lagg has counted what its ports sent" same ports "$by_ports" opackets $(($(sent) - sent_before))
check "soak: which is what arrived, and LACP's frames" between "$arrived" "$by_ports" $((arrived + 20 * 6 * (SOAK + 10)))
check "soak: the lagg has counted what it delivered, and nothing that was not received" \
    between "$(counter as_lagg)" $(($(received) - received_before)) "$(counter injected)"

check "the pair agrees again" wait_for 60 agree
no_loss() { ping -q -n -c 100 -i 0.02 $JAIL_IP | tee /dev/stderr | grep -q ' 0.0% packet loss'; }
check "and loses nothing" no_loss
errors_of() { netstat -I "$1" -n | awk '/<Link/ { print $(NF - 1); exit }'; }
pair_adds_up() {
	unsent=$(leaves "$UNSENT" lagg1)
	# Those that a port could not send are the lagg's, too.
	same "dropped, and its ports' errors" $((unsent + $(errors_of "$P0") + $(errors_of "$P1") + $(errors_of "$P2"))) \
	    oerrors "$(errors_of lagg1)"
}
check "and its reasons add up" pair_adds_up
