#!/bin/sh
# Packets at full rate both ways, THREADS (2) each (lagg_traffic.ko): through each protocol by itself; then for SECS (60)
# while the ports come and go, down to none, and the protocol goes round all of them; then while all goes up and down, and
# while the lagg itself comes and goes. Each packet is sent or counted as dropped. PROTOCOLS: those (all that there are).
. ./lib.sh
begin
SECS=${SECS:-60}

traffic_ports 4
sysctl -q kern.lagg_traffic.threads="${THREADS:-2}" >/dev/null
build() { ifc lagg0 create laggproto loadbalance $(printf 'laggport %s ' $ports) up; }
build
if ifc lagg0 laggproto lacp 2>/dev/null; then lacp=lacp; else lacp=; fi
PROTOCOLS=${PROTOCOLS:-failover roundrobin loadbalance broadcast $lacp none}

counter() { awk -v name="$1" '$1 == name { n += $NF } END { print n + 0 }' "$work/counters"; }
# What the stack counts for the lagg: packets sent, and those that it could not send
sent() { netstat -I lagg0 -n -b | awk '/<Link/ { print $(NF - 3); exit }'; }
oerrors() { netstat -I lagg0 -n | awk '/<Link/ { print $(NF - 1); exit }'; }
index() { netstat -I lagg0 -n | sed -n 's/.*<Link#\([0-9]*\)>.*/\1/p'; }
# dropped RECORDS: how many those of the lagg's own statistics have counted
dropped() {
	sysctl -n net.link.lagg.stats."$(index)" | awk -v records="$1" '$0 ~ records { n += $NF } END { print n + 0 }'
}
UNSENT='^dropped '
REFUSED='^(port .*|left) dropped '
has_stats() { sysctl -n net.link.lagg.stats."$(index)" >/dev/null 2>&1; }

go() {
	sent_before=$(sent) oerrors_before=$(oerrors)
	! has_stats || unsent_before=$(dropped "$UNSENT") refused_before=$(dropped "$REFUSED")
	sysctl -q kern.lagg_traffic.run=1 >/dev/null
}
# halt WHAT: and say what went
halt() {
	sysctl -q kern.lagg_traffic.run=0 >/dev/null
	sysctl -n kern.lagg_traffic.counters >"$work/counters"
	errors=$(counter failed) ms=$(counter milliseconds)
	echo "     $1: $((($(counter offered)) * 1000 / ms)) sent a second, $((($(counter injected)) * 1000 / ms)) received:" $(cat "$work/counters")
}
none_lost() {
	cat "$work/counters"
	[ "$(counter offered)" -gt 0 ] && [ "$(counter lost)" = 0 ] && [ "$(counter no_memory)" = 0 ]
}
# same WHAT NUMBER WHAT NUMBER
same() {
	echo "$1: $2, $3: $4"
	[ "$2" = "$4" ]
}
# between LEAST NUMBER MOST
between() {
	echo "$1 <= $2 <= $3"
	[ "$1" -le "$2" ] && [ "$2" -le "$3" ]
}
# balanced WHAT: the counters of the lagg agree with what became of the packets
balanced() {
	check "$1: every packet arrived, or an error was returned" none_lost
	check "$1: and the lagg counts those errors" same returned "$errors" oerrors $(($(oerrors) - oerrors_before))
	if [ "$lacp" != lacp ]; then
		check "$1: and what it sent" same arrived $(($(counter sent) + $(counter copies))) opackets $(($(sent) - sent_before))
	fi
	if has_stats; then
		check "$1: the reasons add up" same returned "$errors" dropped $(($(dropped "$UNSENT") - unsent_before))
		# Of those that came as the port went down or up, the stack has dropped some.
		refused=$(counter refused)
		check "$1: those of packets that were not taken in too" \
		    between "$refused" $(($(dropped "$REFUSED") - refused_before)) $((refused + $(counter down)))
	fi
}

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
# ran SECONDS LOOP...: the loops go round together under traffic
ran() {
	secs=$1
	shift
	echo "     $*" >/dev/console
	go
	for loop in "$@"; do again "$loop" "$loop"; done
	end=$(($(date +%s) + secs))
	while [ "$(date +%s)" -lt $end ]; do sleep 1; done
	check "$*: no deadlock" stop_loops
	[ -z "$stuck" ] || exit 0
	halt "$*"
	echo "     rounds:$(for loop in "$@"; do printf ' %s %s' "$loop" "$(rounds "$loop")"; done)"
}

ran "$SECS" come_and_go go_round look_and_set
balanced "under change"
ran $((SECS / 6)) come_and_go go_round look_and_set up_and_down
balanced "up and down"
ran $((SECS / 6)) come_and_go go_round live_and_die
check "a lagg that comes and goes: every packet arrived, or an error was returned" none_lost
has_stats || skip "no net.link.lagg.stats: whether the reasons add up"
