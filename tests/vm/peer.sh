#!/bin/sh
# Our LACP with the one of another machine, which peers starts beside this one: C lagg's. vtnet1 to vtnet3 of both are joined; over
# vtnet0 ours tells theirs what to do. Pings go both ways at once and are counted where they arrive, so that each way's loss is known.
. ./lib.sh
HOST_CONTROL=198.51.100.1
PEER_CONTROL=198.51.100.2
PEER_IP=192.0.2.2
INTERVAL=0.1    # seconds between pings

# Here and there

received() { netstat -s -p icmp | awk '/histogram/ { in_ = /Input/ } in_ && $1 == "echo:" { n = $2 } END { print n + 0 }'; }

# pings ADDRESS: begin
pings() { flow pings ping -n -i $INTERVAL "$1"; }

# no_pings: they end
no_pings() {
	pid=$(cat "$work/flows")
	rm "$work/flows"
	kill -INT "$pid"
	# There it is another shell's child.
	wait "$pid" 2>/dev/null
	wait_for 10 not kill -0 "$pid" 2>/dev/null
}

# sent: pings that went out, that were refused for a pause (ENOBUFS), and that were refused otherwise
sent() {
	awk '/sendto: No buffer/ { paused++ } /sendto:/ { refused++ } /packets transmitted/ { sent = $1 }
		END { printf "%d %d %d\n", sent - refused, paused, refused - paused }' "$work/flow.pings"
}

# distributing N: so many ports of lagg0 are in service
distributing() { [ "$(ifc lagg0 | grep -c 'flags=1c<ACTIVE,COLLECTING,DISTRIBUTING>')" = "$1" ]; }
# cable N on|off: this end of it is in its card, or not
cable() { echo "VM-LINK: link$1 $2" >/dev/console; }
# A line for each port: itself and its partner
sides() { ifc -v lagg0 | awk '/laggport:/ { getline a; getline b; print a, b }' | tr -d '[]() \t' | sed 's/,$//'; }

# Theirs

# serve: runs the lines that come, and answers with what each printed and its exit status
serve() {
	mkfifo "$work/answer"
	until [ -e "$work/ended" ]; do
		nc -lN $PEER_CONTROL 7 <"$work/answer" | {
			IFS= read -r line && {
				echo "+ $line" >/dev/console
				eval "$line"
				echo "status $?"
			}
		} >"$work/answer" 2>&1
	done
}

if [ "$ROLE" = theirs ]; then
	load || exit 1
	ifconfig vtnet0 $PEER_CONTROL/24 up
	serve
	exit 0
fi

# Ours

# there COMMAND...: on the other machine, as one line of sh
there() {
	limit=$(($(date +%s) + 60))
	until echo "$*" | nc -w 60 $PEER_CONTROL 7 >"$work/there" 2>/dev/null && grep -q '^status ' "$work/there"; do
		[ "$(date +%s)" -lt $limit ] || { echo "no answer: $*"; return 1; }
	done
	grep -v '^status ' "$work/there"
	return "$(sed -n 's/^status //p' "$work/there")"
}

begin
ifconfig vtnet0 $HOST_CONTROL/24 up
check "the other machine answers" wait_for 300 there true
[ $failed = 0 ] || exit 1

both_distribute() { distributing "$1" && there distributing "$1"; }
LIMIT=30

# lacp_record NAME: the sum of all ports' counters of that name
lacp_record() { leaves "^port[.].*[.]lacp[.]$1:"; }
reaches_record() { [ "$(lacp_record "$1")" -ge "$2" ]; }
# grows NAME N: by so much in 10 s, in which nothing of the slow period is due
grows() { wait_for 10 reaches_record "$1" $(($(lacp_record "$1") + $2)); }

replies() { [ "$(grep -c 'bytes from' "$work/flow.pings")" -ge "$1" ]; }
# A second of pings that get there and back
traffic_flows() { wait_for $LIMIT replies $(($(grep -c 'bytes from' "$work/flow.pings") + 10)); }

# counted COMMAND...: with pings both ways, for a second after it too. Left in `out_` and `in_`, for those to theirs and to ours: how
# many were sent, refused for a pause, refused otherwise, and lost on the way.
counted() {
	here=$(received) peer=$(there received)
	there pings $HOST_IP && pings $PEER_IP || return
	"$@" && traffic_flows
	result=$?
	no_pings && there no_pings || return
	here=$(($(received) - here)) peer=$(($(there received) - peer))
	set -- $(sent) $(there sent)
	[ $# = 6 ] || { echo "counts: $*"; return 1; }
	out_sent=$1 out_paused=$2 out_refused=$3 out_lost=$(($1 - peer))
	in_sent=$4 in_paused=$5 in_refused=$6 in_lost=$(($4 - here))
	figures="to theirs $out_sent sent, $out_lost lost, $out_paused paused, $out_refused refused; \
to ours $in_sent sent, $in_lost lost, $in_paused paused, $in_refused refused"
	echo "     $figures" | tee /dev/console
	return $result
}
# lost_at_most OUT IN: of those that our side sent, or wanted to; of those that theirs did send
lost_at_most() { [ $((out_lost + out_paused + out_refused)) -le "$1" ] && [ "$in_lost" -le "$2" ]; }
# With the short timeout a silent partner is missed after 3 s; a tick of theirs more, and what is in flight
TIMEOUT=45
# What is in flight, and what pauses until a marker came back
FEW=5
few_paused() { [ "$in_paused" -le $((FEW * $1)) ]; }
few_paused_by_us() { [ "$out_paused" -le $((FEW * $1)) ]; }

PORTS='laggport vtnet1 laggport vtnet2 laggport vtnet3'
ours() { ifc lagg0 create laggproto lacp "$@" $HOST_IP/24 up; }
theirs() { there ifc lagg0 create laggproto lacp "$@" $PEER_IP/24 up; }
for n in 1 2 3; do
	ifc vtnet$n up
	there ifc vtnet$n up
done
check "their lagg" theirs $PORTS
check "ours" ours $PORTS

check "three ports distribute on both sides" counted wait_for $LIMIT both_distribute 3
# More may arrive than went out: a ping whose ARP request was refused counts as refused, and is kept until there is an answer.
check "of what was sent nothing is lost" eval '[ $out_lost -le 0 ] && [ $in_lost -le 0 ]'
check "we paused until they had answered our markers" few_paused_by_us 1
check "they paused until we had answered their markers" few_paused 3
check "nothing is lost" counted true
check "not one, either way" lost_at_most 0 0
swapped() { there sides | awk -F, -v OFS=, '{ print $6, $7, $8, $9, $10, $1, $2, $3, $4, $5 }'; }
agree() {
	sides | sort >"$work/ours"
	swapped | sort >"$work/theirs"
	[ "$(wc -l <"$work/ours")" -eq 3 ] && diff "$work/ours" "$work/theirs"
}
check "both name the same systems, keys and ports" agree
same() { [ "$(lacp_record "$1")" = "$(lacp_record "$2")" ]; }
check "our markers were answered" wait_for 10 same markers_out responses_in
check "theirs were answered" same markers_in responses_out
asked() { [ "$(lacp_record markers_in)" -gt 0 ]; }
check "and there were some" asked

ifc lagg0 lacp_fast_timeout
check "the fast timeout on ours: they send each second" grows pdus_in 9
there ifc lagg0 lacp_fast_timeout
check "on theirs: we do" grows pdus_out 9
check "three distribute with it" wait_for $LIMIT both_distribute 3

# down_and_up SIDE PORT
down_and_up() {
	$1 "$2" down && wait_for $LIMIT both_distribute 2 && traffic_flows && $1 "$2" up && wait_for $LIMIT both_distribute 3
}
there_ifc() { there ifc "$@"; }
here() { "$@"; }
# cut_and_healed N END...: the ends of a cable notice
cut_and_healed() {
	n=$1
	shift
	for end; do $end cable "$n" off; done
	wait_for $LIMIT both_distribute 2 && traffic_flows || return
	for end; do $end cable "$n" on; done
	wait_for $LIMIT both_distribute 3
}
for n in 1 2 3; do
	check "both ends of cable $n are cut, and healed" counted cut_and_healed $n here there
	check "of both only what is in flight is lost" lost_at_most $((2 * FEW)) $((2 * FEW))
	check "our end of cable $n" counted cut_and_healed $n here
	check "of ours only what is in flight is lost, of theirs what a timeout allows" lost_at_most $((2 * FEW)) $TIMEOUT
	check "their end of cable $n" counted cut_and_healed $n there
	check "of ours a timeout allows" lost_at_most $TIMEOUT $((2 * FEW))
	check "and we do not pause for a partner that is missed" few_paused_by_us 2
done
check "our vtnet1 goes down and comes up" counted down_and_up ifc vtnet1
# Theirs is lost while they take our port to be there; their pause then is for a marker that is never answered.
check "of ours only what is in flight is lost, of theirs what a timeout allows" lost_at_most $((2 * FEW)) $TIMEOUT
check "their vtnet1 goes down and comes up" counted down_and_up there_ifc vtnet1
check "of both no more is lost than a timeout allows" lost_at_most $TIMEOUT $TIMEOUT
check "and we do not pause for a partner that is missed" few_paused_by_us 2

ifc lagg0 laggproto failover
check "another protocol of ours says farewell" wait_for 10 there distributing 0
ifc lagg0 laggproto lacp lacp_fast_timeout
check "and lacp again" wait_for $LIMIT both_distribute 3
check "carries pings" counted true
there ifc lagg0 laggproto failover
check "another protocol of theirs is missed" wait_for $LIMIT distributing 0
there ifc lagg0 laggproto lacp
check "and lacp again" wait_for $LIMIT both_distribute 3
check "carries pings" counted true
check "both name the same systems, keys and ports" agree

# Their new machines have the long timeout: what they know before 90 s have passed, ours has said. They act on it at their next tick.
TICK=$((10 + FEW))
leaves() { ifc lagg0 -laggport "$1" && wait_for 10 there distributing 2; }
for port in vtnet2 vtnet3; do
	check "our $port that leaves says so" counted leaves $port
	check "so nothing is lost but what they send until their tick" lost_at_most $FEW $TICK
	check "and comes back" counted eval 'ifc lagg0 laggport $port && wait_for $LIMIT both_distribute 3'
	check "of which nothing is lost" lost_at_most $FEW $FEW
	check "they paused until we had answered" few_paused 2
	check "their $port that leaves is missed" counted eval 'there ifc lagg0 -laggport $port && wait_for $LIMIT both_distribute 2'
	check "of both no more is lost than a timeout allows" lost_at_most $TIMEOUT $TIMEOUT
	check "and comes back" counted eval 'there ifc lagg0 laggport $port && wait_for $LIMIT both_distribute 3'
	check "of which nothing is lost" lost_at_most $FEW $FEW
done

# What ifconfig(8) has no word for: theirs shows of us what was set.
set_to() {
	for setting; do sysctl net.link.lagg.iface.lagg0."$setting" >/dev/null || return; done
}
# shows_us PRIORITY ID KEY PORT_PRIORITY...: for each port, those of the ports in any order
shows_us() {
	there sides >"$work/shown" || return
	while IFS=, read -r _ _ _ _ _ priority id key port_priority _; do
		echo "$priority $id $((0x$key >> 5)) $port_priority"
	done <"$work/shown" | sort >"$work/theirs"
	of=$1,$2,$3
	shift 3
	for port_priority; do echo "$of,$port_priority" | tr , ' '; done | sort >"$work/ours"
	diff "$work/ours" "$work/theirs"
}
check "it is told our system's priority and identifier, our key and a port's priority" set_to lacp.system_priority=4097 \
    lacp.system_id=02:00:5e:00:53:dd lacp.key=77 port_priority=vtnet1:100
check "and shows them" wait_for $LIMIT shows_us 1001 02-00-5E-00-53-DD 77 0064 8000 8000
check "three distribute with them" wait_for $LIMIT both_distribute 3
check "both name the same systems, keys and ports" agree
for setting in lacp.active=0 lacp.active=1 lacp.select=bandwidth lacp.select=count lacp.select=priority; do
	check "$setting is set" counted eval 'set_to $setting && wait_for $LIMIT both_distribute 3'
	check "and nothing is lost" lost_at_most 0 0
done
in_service() { ifc lagg0 | grep -q "laggport: $1 flags=1c"; }
check "two links at most" counted eval 'set_to lacp.max_links=2 && wait_for $LIMIT both_distribute 2'
check "which loses only what is in flight, and until their tick" lost_at_most $FEW $TICK
check "the one with the better priority is in service" in_service vtnet1
check "one at most" counted eval 'set_to lacp.max_links=1 && wait_for $LIMIT both_distribute 1'
check "it is that one" in_service vtnet1
check "another becomes better" counted eval 'set_to port_priority="vtnet1:100 vtnet3:50" && wait_for $LIMIT in_service vtnet3 &&
    wait_for $LIMIT both_distribute 1'
check "its cable is cut, and a standby takes over" counted eval 'cable 3 off && there cable 3 off && wait_for $LIMIT both_distribute 1 &&
    wait_for $LIMIT in_service vtnet1'
check "it is back, and takes over" counted eval 'cable 3 on && there cable 3 on && wait_for $LIMIT in_service vtnet3 &&
    wait_for $LIMIT both_distribute 1'
check "as many as there are" counted eval 'set_to lacp.max_links=0 && wait_for $LIMIT both_distribute 3'
check "and all as it was" set_to lacp.system_priority=32768 lacp.system_id= lacp.key=0 port_priority=
check "which theirs shows" wait_for $LIMIT shows_us 8000 "$(ifc lagg0 | awk '$1 == "ether" { print toupper($2) }' | tr : -)" \
    "$(($(index lagg0) & 1023))" 8000 8000 8000

there ifc lagg0 destroy
check "their lagg that is destroyed is missed" wait_for $LIMIT distributing 0
check "another comes" theirs $PORTS
check "and is agreed with" wait_for $LIMIT both_distribute 3
check "one port is to fall back" set_to lacp.fallback=single lacp.fallback_delay=1
there ifc lagg0 destroy
check "their lagg that is destroyed is missed, and one port stays in service" wait_for $LIMIT distributing 1
check "another comes" theirs $PORTS
check "and is agreed with" wait_for $LIMIT both_distribute 3
check "and carries pings" counted true
ifc lagg0 destroy
check "ours says farewell" wait_for 10 there distributing 0
there ': >"$work/ended"'
