# Sourced by scripts that send packets of lagg_traffic.ko through lagg0 and balance its counters with what became of them.
# $work is lib.sh's.

counter() { awk -v name="$1" '$1 == name { n += $NF } END { print n + 0 }' "$work/counters"; }
# What the stack counts for the lagg: packets sent and received, and those that it could not send
sent() { netstat -I lagg0 -n -b | awk '/<Link/ { print $(NF - 3); exit }'; }
received() { netstat -I lagg0 -n -b | awk '/<Link/ { print $(NF - 7); exit }'; }
oerrors() { netstat -I lagg0 -n | awk '/<Link/ { print $(NF - 1); exit }'; }
# What ports have sent that was no packet of the threads: LACP's
beside() { sysctl -n kern.lagg_traffic.lacpdus kern.lagg_traffic.markers kern.lagg_traffic.others | awk '{ n += $1 } END { print n }'; }
UNSENT='^dropped[.]'
REFUSED='^(port[.].*|left)[.]dropped[.]'
EAGAIN=35
has_state() { leaf protocol >/dev/null 2>&1; }

# look: $now is what the lagg has sent, and $others what is no packet of the threads. LACP sends while both are read: then again.
look() {
	until others=$(beside) now=$(sent) && [ "$(beside)" = "$others" ]; do :; done
}
go() {
	look
	sent_before=$now others_before=$others
	received_before=$(received) oerrors_before=$(oerrors)
	! has_state || unsent_before=$(leaves "$UNSENT") refused_before=$(leaves "$REFUSED")
	sysctl -q kern.lagg_traffic.run=1 >/dev/null
}
# halt WHAT: and say what went
halt() {
	sysctl -q kern.lagg_traffic.run=0 >/dev/null
	sysctl -n kern.lagg_traffic.counters >"$work/counters"
	# A packet whose tag is of another port is returned to be sent again, which is no error of the lagg's.
	errors=$(awk -v again=$EAGAIN '$1 == "failed" && $2 != again { n += $NF } END { print n + 0 }' "$work/counters")
	ms=$(counter milliseconds)
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
counts_sent() {
	look
	same arrived $(($(counter sent) + $(counter copies) + others - others_before)) opackets $((now - sent_before))
}
# balanced WHAT: the counters of the lagg agree with what became of the packets
balanced() {
	check "$1: every packet arrived, or an error was returned" none_lost
	check "$1: and the lagg counts those errors" same returned "$errors" oerrors $(($(oerrors) - oerrors_before))
	check "$1: and what it sent, LACP's frames too" counts_sent
	if has_state; then
		check "$1: the reasons add up" same returned "$errors" dropped $(($(leaves "$UNSENT") - unsent_before))
		# Of those that came as the port went down or up, the stack has dropped some. The partner's answers may be late.
		refused=$(counter refused)
		check "$1: those of packets that were not taken in too" \
		    between "$refused" $(($(leaves "$REFUSED") - refused_before)) $((refused + $(counter down) + $(counter answers)))
	fi
}

# ran SECONDS LOOP...: the loops go round together under traffic
ran() {
	secs=$1
	shift
	echo "     $*" >/dev/console
	go
	for loop in "$@"; do again "$loop" "$loop"; done
	end=$(($(date +%s) + secs))
	while left=$((end - $(date +%s))) && [ $left -gt 0 ]; do
		# A silent machine counts as hung.
		[ $((left % 60)) != 0 ] || echo "     $left s left" >/dev/console
		sleep 1
	done
	check "$*: no deadlock" stop_loops
	[ -z "$stuck" ] || exit 0
	halt "$*"
	echo "     rounds:$(for loop in "$@"; do printf ' %s %s' "$loop" "$(rounds "$loop")"; done)"
}
