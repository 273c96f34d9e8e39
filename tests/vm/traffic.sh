#!/bin/sh
# Packets at full rate both ways, THREADS (2) each (lagg_traffic.ko): through each protocol by itself; then for SECS (60)
# while the ports come and go, down to none, and the protocol goes round all of them; then while all goes up and down, and
# while the lagg itself comes and goes. Each packet is sent or counted as dropped. PROTOCOLS: those (all that there are).
. ./lib.sh
. ./balance.sh
begin
SECS=${SECS:-60}

traffic_ports 4
sysctl -q kern.lagg_traffic.threads="${THREADS:-2}" >/dev/null
build() { ifc lagg0 create laggproto loadbalance $(printf 'laggport %s ' $ports) up; }
build
if ifc lagg0 laggproto lacp 2>/dev/null; then lacp=lacp; else lacp=; fi
PROTOCOLS=${PROTOCOLS:-failover roundrobin loadbalance broadcast $lacp none}

distributing() { [ "$(ifconfig -n -v lagg0 | grep -c 'laggport:.*DISTRIBUTING')" = 4 ]; }
for protocol in $PROTOCOLS; do
	ifc lagg0 laggproto "$protocol"
	[ "$protocol" != lacp ] || check "lacp: the partner is there" wait_for 20 distributing
	go
	sleep 2
	halt "$protocol"
	balanced "$protocol"
	case $protocol in
	none) check "none: nothing goes" [ "$(counter sent)" = 0 ] ;;
	lacp) check "lacp: packets go" [ "$(counter sent)" -gt 0 ] ;;
	*) check "$protocol: nothing is dropped" [ "$errors" = 0 ] ;;
	esac
done

come_and_go() {
	for port in $ports; do ifconfig -n lagg0 -laggport "$port"; done
	for port in $ports; do ifconfig -n lagg0 laggport "$port"; done
}
go_round() {
	for protocol in $PROTOCOLS; do ifconfig -n lagg0 laggproto "$protocol"; done
}
look_and_set() {
	ifconfig -n -v lagg0
	ifconfig -n lagg0 mtu 1400
	netstat -I lagg0
	ifconfig -n lagg0 mtu 1500
}
up_and_down() {
	ifconfig -n lgt1 down
	ifconfig -n lagg0 down
	ifconfig -n lagg0 up
	ifconfig -n lgt1 up
}
live_and_die() {
	ifconfig -n lagg0 destroy
	build
	sleep 1
}
ran "$SECS" come_and_go go_round look_and_set
balanced "under change"
ran $((SECS / 6)) come_and_go go_round look_and_set up_and_down
balanced "up and down"
ran $((SECS / 6)) come_and_go go_round live_and_die
check "a lagg that comes and goes: every packet arrived, or an error was returned" none_lost
has_state || skip "no net.link.lagg.iface: whether the reasons add up"
