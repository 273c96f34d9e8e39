#!/bin/sh
# What a lagg tells of changes that nobody asked for: the lines of the log, the events of devctl(4) for which devd(8) runs a command, and
# the probes of DTrace, if DTRACE names a directory with dtrace(1) and its modules. A storm of link changes, for SECS (20) seconds.
. ./lib.sh
begin
SECS=${SECS:-20}
events=$work/events
: >"$events"

# devd(8) quotes the values.
cat >"$work/devd.conf" <<EOF
notify 10 {
	match "system" "LAGG";
	action "echo \$subsystem \$type \$port from=\$from reason=\$reason \$active/\$ports min=\$min_links \$partner >>$events";
};
EOF
# With -d it stays in the foreground.
flow devd /sbin/devd -d -f "$work/devd.conf"

cables 2
# An epair keeps its link while one end is up.
cut() { ifconfig "$1" down; there "${1%a}b" down; }
heal() { there "${1%a}b" up; ifconfig "$1" up; }

event() { wait_for 10 grep -q -- "$1" "$events" || { cat "$events"; false; }; }
line() { dmesg -a | grep -qF -- "$1" || { dmesg -a | tail -20; false; }; }
# How many events and lines there are with these words
count() { grep -c -- "$1" "$events"; }
lines() { dmesg -a | grep -cF -- "$1"; }
forget() { : >"$events"; dmesg -c >/dev/null 2>&1; }
# Waits until devd(8) has read all events so far: the last is that lagg9 loses its port.
read_all() {
	cable=$(ifconfig epair create)
	ifconfig "${cable%a}b" up
	ifc lagg9 create laggproto failover laggport "$cable" up
	wait_for 10 has lagg9 'status: active'
	ifconfig "$cable" down
	wait_for 300 grep -q 'lagg9 DEGRADED' "$events"
	ifc lagg9 destroy
	ifconfig "$cable" destroy
}

# Other suites have caused events, which devd(8) reads first.
read_all
forget
ifc lagg0 create laggproto failover laggport "$P0" laggport "$P1" $HOST_IP/24 up
wait_for 10 has lagg0 'status: active'
read_all
check 'what was asked for is no event' not grep -v lagg9 "$events"
check 'nor a line' not line 'lagg0: epair'

cut "$P0"
check 'FAILOVER runs a command' event "lagg0 FAILOVER $P1 from=$P0 reason=\(no link\|down\)"
check 'and is a line' line "lagg0: $P1 takes over from $P0 ("
check 'PORT_DOWN' event "lagg0 PORT_DOWN $P0 from= reason=\(no link\|down\)"
heal "$P0"
check 'the primary takes over again' event "lagg0 FAILOVER $P0 from=$P1 reason=preferred"
check 'PORT_UP' event "lagg0 PORT_UP $P0"
sysctl -q net.link.lagg.iface.lagg0.min_links=2 >/dev/null
sleep 1
cut "$P1"
check 'DEGRADED' event 'lagg0 DEGRADED .* 1/2 min=2'
check 'and is a line' line 'lagg0: 1 of 2 ports in service, fewer than min_links 2: link down'
heal "$P1"
check 'RESTORED' event 'lagg0 RESTORED .* 2/2'

: >"$events"
ifconfig "$P0" destroy
# Its link may go first, or it may be down.
check 'an interface that goes is PORT_DOWN' event "lagg0 PORT_DOWN $P0 from= reason=\(gone\|no link\|down\)"
check 'and a line' line "lagg0: $P0 is no longer a port: its interface has gone"
check 'and FAILOVER' event "lagg0 FAILOVER $P1 from=$P0 reason=\(gone\|no link\|down\)"
check 'and DEGRADED' event 'lagg0 DEGRADED .* 1/[12] min=2'
sleep 2
once() { cat "$events" && [ "$(count "$1")" = 1 ]; }
check 'each of them once' once PORT_DOWN
check 'each of them once' once FAILOVER
check 'each of them once' once DEGRADED
sysctl -q net.link.lagg.iface.lagg0.min_links=0 >/dev/null
check 'RESTORED once less is asked for' event 'lagg0 RESTORED .* 1/1'
sleep 1
cut "$P1"
check 'DEGRADED says what is set' event 'lagg0 DEGRADED .* 0/1 min= '
heal "$P1"
check 'RESTORED' event 'lagg0 RESTORED .* 1/1'
sleep 1
ifconfig "$P1" vnet $JAIL
check 'one that moves away is PORT_DOWN' event "lagg0 PORT_DOWN $P1 from= reason=\(gone\|no link\|down\)"
check 'the last one takes the lagg along' event 'lagg0 DEGRADED .* 0/[01] min= '
ifconfig "$P1" -vnet $JAIL
heal "$P1"
ifc lagg0 laggport "$P1"
check 'which comes up with it' event 'lagg0 RESTORED .* 1/1'
ifc lagg0 destroy

# More changes at once than the log takes: those of the lagg are there. The link of VLANs is that of their parent.
kldload -n if_vlan 2>/dev/null
ifc lagg1 create laggport "$P1" up
: >"$events"
vlans=$(for tag in 11 12 13 14 15 16 17 18 19 20 21 22; do ifconfig vlan create vlan $tag vlandev lagg1; done)
ifc lagg0 create laggproto roundrobin $(printf 'laggport %s ' $vlans) up
wait_for 10 has lagg0 'status: active'
sleep 2
before=$(lines 'lagg0: vlan')
cut "$P1"
check 'twelve ports lose their link' event 'lagg0 DEGRADED .* 0/12 min= '
check 'the lagg says so' line 'lagg0: 0 of 12 ports in service: link down'
sleep 2
check 'ten of them do' [ $(($(lines 'lagg0: vlan') - before)) = 10 ]
check 'and how many do not' line 'lagg0: 2 more lines were left out'
check 'all are events' [ "$(count 'lagg0 PORT_DOWN vlan')" = 12 ]
ifc lagg0 destroy
for vlan in $vlans; do ifconfig "$vlan" destroy; done
ifc lagg1 destroy
heal "$P1"

: >"$events"
# The probes: dtrace(1) of the system, or of DTRACE, with the modules there.
dtrace=dtrace
if [ -n "$DTRACE" ]; then
	for i in opensolaris dtrace sdt; do kldload -n "$DTRACE/$i.ko"; done
	dtrace="$DTRACE/dtrace -x nolibs"
fi
probes() { $dtrace -l -P lagg | tee /dev/stderr | awk '$2 == "lagg" { n++ } END { exit n != 15 }'; }
traced() { wait_for 20 grep -q -- "$1" "$work/flow.dtrace" || { tail -20 "$work/flow.dtrace"; false; }; }
P0=$(ifconfig epair create)
ifconfig "${P0%a}b" vnet $JAIL
heal "$P0"
if command -v ${dtrace%% *} >/dev/null; then
	check 'dtrace(1) lists the probes' probes
	flow dtrace $dtrace -q -n 'BEGIN { printf("begin\n"); }
	    lagg:::lacp-mux, lagg:::lacp-receive, lagg:::port-state { printf("%s %s %s %s %s\n", probename, stringof(arg0), stringof(arg1), stringof(arg2), stringof(arg3)); }
	    lagg:::lacp-pdu-in, lagg:::lacp-pdu-out { printf("%s %s %d %d\n", probename, stringof(arg1), arg3, *(uint8_t *)(arg2 + 14)); }
	    lagg:::failover { printf("%s %s %s %s %s\n", probename, stringof(arg0), stringof(arg1), stringof(arg2), stringof(arg3)); }
	    lagg:::link-state { printf("%s %s %d %d %d\n", probename, stringof(arg0), arg1, arg2, arg3); }
	    lagg:::lacp-select { printf("%s %s %d %d\n", probename, stringof(arg0), (int)arg1, (int)arg2); }
	    lagg:::lacp-pause, lagg:::lacp-resume { printf("%s %s %s %d\n", probename, stringof(arg0), stringof(arg1), arg2); }
	    lagg:::bucket-move { printf("%s %s %s %s %d\n", probename, stringof(arg0), stringof(arg1), stringof(arg2), arg3); }
	    lagg:::plan-publish { printf("%s %s %s %d %d\n", probename, stringof(arg0), stringof(arg1), arg2, arg3); }
	    lagg:::port-join, lagg:::port-leave { printf("%s %s %s %d\n", probename, stringof(arg0), stringof(arg1), arg2); }
	    lagg:::drop { printf("%s %s %s %s\n", probename, stringof(arg0), stringof(arg1), stringof(arg3)); }'
	check 'dtrace(1) runs' traced begin
else
	skip 'no dtrace(1)'
	dtrace=
fi
ifc lagg0 create laggproto lacp laggport "$P0" laggport "$P1" lacp_fast_timeout up
there lagg0 create laggproto lacp laggport "${P0%a}b" laggport "${P1%a}b" lacp_fast_timeout up
check 'lacp: both ports find a partner' event "lagg0 PORT_UP $P1 from= reason=in service / min= [0-9a-f:]*$"
check 'lacp: its address is told' line "lagg0: $P0 in service (partner "
if [ "$dtrace" ]; then
	check 'probes: a port joins' traced "port-join lagg0 $P0 0"
	check 'probes: LACPDUs come' traced "lacp-pdu-in $P0 124 1"
	check 'probes: and go' traced "lacp-pdu-out $P0 124 1"
	check 'probes: the machines move' traced "lacp-mux lagg0 $P0 .* DISTRIBUTING"
	check 'probes: with the partner' traced "lacp-receive lagg0 $P0 .* CURRENT"
	check 'probes: an aggregator is chosen' traced 'lacp-select lagg0 -1 [0-9]'
	check 'probes: the link comes up' traced 'link-state lagg0 1 [12] 0'
	check 'probes: a port is in service' traced "port-state lagg0 $P0 .* in service"
	check 'probes: a plan is published' traced 'plan-publish lagg0 lacp 2 2'
fi
there lagg0 -laggport "${P1%a}b"
check 'lacp: the partner is lost' event "lagg0 PORT_DOWN $P1"
check 'what happens in a jail is no event' [ "$(grep -c "${P0%a}b" "$events")" = 0 ]
check 'but a line' line "lagg0: ${P0%a}b in service (partner "

# Another system on the cable of the second port, as if it was in another switch. Both are told, one after the other.
there lagg1 create laggproto lacp laggport "${P1%a}b" lacp_fast_timeout up
check 'PARTNER: another one' event "lagg0 PARTNER $P1 from=[0-9a-f:]* reason=changed / min= [0-9a-f:]*$"
check 'and is a line' line "lagg0: $P1 has another partner: "
check 'PARTNER: not that of the other ports' event "lagg0 PARTNER $P1 from= reason=another partner / min= [0-9a-f:]*$"
check 'and is a line' line ', not that of the ports in service: two switches without MLAG?'
there lagg1 destroy
there lagg0 laggport "${P1%a}b"
check 'PARTNER: the first again' wait_for 10 sh -c "[ \$(grep -c 'PARTNER $P1 .* reason=changed' $events) = 2 ]"
check 'PORT_UP: with it' wait_for 30 sh -c "[ \$(grep -c 'lagg0 PORT_UP $P1 ' $events) -ge 2 ]"
if [ "$dtrace" ]; then
	check 'probes: flows move to it' traced "bucket-move lagg0 $P0 $P1 512"
	check 'probes: once their packets are through' traced "lacp-pause lagg0 $P0 512"
	check 'probes: then they go on' traced "lacp-resume lagg0 $P1 512"
fi
# Both ends of a cable in one lagg
loop=$(ifconfig epair create)
heal_loop() { ifconfig "$loop" up; ifconfig "${loop%a}b" up; }
heal_loop
ifc lagg1 create laggproto lacp laggport "$loop" laggport "${loop%a}b" up
check 'LOOP' event "lagg1 LOOP $loop from= reason=looped"
check 'at both ends' event "lagg1 LOOP ${loop%a}b from= reason=looped"
check 'and is a line' line "lagg1: $loop receives its own lagg's LACPDUs"
ifc lagg1 destroy
ifconfig "$loop" destroy

# Names that would end an event, a line or a value
strange=$(printf 'a\n"b t=x')
ifconfig "$P1" name "$strange" >/dev/null
there lagg0 -laggport "${P1%a}b"
check 'an odd name is one value' event 'lagg0 PORT_DOWN a?"b t=x from= reason='
check 'and does not end the line' line 'lagg0: a?"b t=x out of service: '
check 'and has a node' [ "$(leaf port.a%0A%22b%20t%3Dx.in_service)" = 0 ]
ifconfig "$strange" name "$P1" >/dev/null
there lagg0 laggport "${P1%a}b"

if [ "$dtrace" ]; then
	ifc lagg0 laggproto none
	arping() { ifconfig lagg0 $HOST_IP/24; ping -c 1 -W 100 $JAIL_IP; true; }
	check 'a packet is not sent' arping
	check 'probes: a drop' traced 'drop lagg0  disabled'
	ifc lagg0 laggproto failover
	sleep 1
	cut "$P0"
	check 'probes: a failover' traced "failover lagg0 $P0 $P1 \(no link\|down\)"
	cut "$P1"
	check 'probes: the link goes down' traced 'link-state lagg0 0 0 0'
	heal "$P0"
	heal "$P1"
	ifc lagg0 -laggport "$P1"
	check 'probes: a port leaves' traced "port-leave lagg0 $P1 0"
	ifc lagg0 laggport "$P1"
	fired() { grep -oE '^[a-z-]+ ' "$work/flow.dtrace" | sort -u && [ "$(grep -oE '^[a-z-]+ ' "$work/flow.dtrace" | sort -u | wc -l)" -eq 15 ]; }
	check 'probes: all of them have fired' fired
	stop_flows
	flow devd /sbin/devd -d -f "$work/devd.conf"
fi
storm() {
	end=$(($(date +%s) + SECS)) n=0
	while [ "$(date +%s)" -lt $end ]; do
		ifconfig "$P0" down
		ifconfig "$P0" up
		n=$((n + 1))
	done
	echo "     $n changes" >/dev/console
}
ifc lagg0 laggproto roundrobin
sleep 2
: >"$events"
before=$(lines "lagg0: $P0")
storm
sleep 3
few() {
	down=$(count "PORT_DOWN $P0") up=$(count "PORT_UP $P0") lines=$(($(lines "lagg0: $P0") - before))
	echo "$down down, $up up, $lines lines"
	echo "     $down down, $up up, $lines lines" >/dev/console
	[ $down -le $((SECS + 2)) ] && [ $up -le $((SECS + 2)) ] && [ $lines -le $((2 * SECS + 4)) ] && [ $((down - up)) -le 1 ]
}
check 'a storm of link changes is told once a second' few
check 'and what was last' sh -c "grep 'PORT_.* $P0' $events | tail -1 | grep -q PORT_UP"
# if_log(9) would take the name for a format. The kernel itself does so when an interface is renamed, so this is one that harms nobody.
conversions() {
	ifconfig lagg0 name 'a%%d' && ifconfig "$P0" down && wait_for 10 line "a%%d: $P0 out of service: down"
	found=$?
	ifconfig "$P0" up
	ifconfig 'a%%d' name lagg0
	return $found
}
check 'a name with conversions in it is logged as it is' conversions
