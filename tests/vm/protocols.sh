#!/bin/sh
# Each protocol carries traffic between two laggs, here and in the jail. Then SECS (60) of traffic
# in both directions, while the protocol changes in turn and the ports come and go, down to none.
. ./lib.sh
begin
SECS=${SECS:-60}
PROTOCOLS='failover roundrobin loadbalance broadcast'

cables 2
ifc lagg0 create laggproto failover laggport "$P0" laggport "$P1" $HOST_IP/24 up
jexec $JAIL ifconfig -n lagg0 create laggproto failover laggport "${P0%a}b" laggport "${P1%a}b" $JAIL_IP/24 up
both() { ifc lagg0 "$@" && jexec $JAIL ifconfig -n lagg0 "$@"; }

# An epair keeps its link while one end is up, so both ends of the first pair go up or down.
first() { ifc "$P0" "$1" && jexec $JAIL ifconfig -n "${P0%a}b" "$1"; }

# sent PORT: the number of packets that it has sent
sent() { netstat -I "$1" -n -b | awk '/<Link/ { print $(NF - 3); exit }'; }
# even: of 100 pings, half went over each port, apart from a few other packets
even() {
	a=$(sent "$P0") b=$(sent "$P1")
	ping -q -n -c 100 -i 0.02 $JAIL_IP || return
	a=$(($(sent "$P0") - a)) b=$(($(sent "$P1") - b))
	echo "$a and $b"
	[ $((a + b)) -ge 100 ] && [ $((a - b)) -le 8 ] && [ $((b - a)) -le 8 ]
}
no_loss() { ping -q -n -c 50 -i 0.02 $JAIL_IP | tee /dev/stderr | grep -q ' 0.0% packet loss'; }
doubled() { ping -n -c 5 -i 0.2 $JAIL_IP | grep -q DUP; }

for protocol in $PROTOCOLS; do
	both laggproto $protocol
	check "$protocol: the jail answers" wait_for 10 reaches
	check "$protocol: nothing is lost" no_loss
	first down
	check "$protocol: on one port alone" wait_for 10 reaches
	first up
	case $protocol in
	roundrobin) check "roundrobin: half on each port" even ;;
	broadcast) check "broadcast: one copy a port" doubled ;;
	esac
done
both laggproto failover

flow out ping -q -n -f $JAIL_IP
flow in jexec $JAIL ping -q -n -f $HOST_IP
round() {
	end=$(($(date +%s) + SECS)) n=0
	while [ "$(date +%s)" -lt $end ]; do
		for protocol in $PROTOCOLS none; do
			ifc lagg0 laggproto $protocol || return
			ifc lagg0 -laggport "$P0" -laggport "$P1" || return
			jexec $JAIL ifconfig -n lagg0 laggproto $protocol || return
			ifc lagg0 laggport "$P1" laggport "$P0" || return
		done
		n=$((n + 1))
	done
	echo "     $n rounds" >/dev/console
}
if is_c; then
	skip "protocols and ports change under traffic for $SECS s (D-1)"
else
	check "protocols and ports change under traffic for $SECS s (D-1)" round
fi
# Not failover, because the two sides may have different primary ports by now.
both laggproto loadbalance
stop_flows
check "traffic after" wait_for 20 reaches
