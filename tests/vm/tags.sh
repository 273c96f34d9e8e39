#!/bin/sh
# Send tags, which lagg_traffic.ko's ports make in software: of each type, by a lagg of each protocol, through a VLAN, for the kernel's own UDP;
# then for all packets of threads at full rate, for SECS (20) while the ports and the protocol change and the lagg comes and goes; last, tags that
# outlive port and lagg, and the module that stays for them.
. ./lib.sh
begin
SECS=${SECS:-20}
EINVAL=22 EAGAIN=35 EOPNOTSUPP=45
RATE_LIMIT=0 UNLIMITED=1 TLS=2 TLS_RATE_LIMIT=3 TLS_RX=4

traffic_ports 0
at() { sysctl -n kern.lagg_traffic."$1"; }
set_to() { sysctl -q kern.lagg_traffic."$1"="$2" >/dev/null; }
# on INTERFACE: selects the interface that makes tags and sends
on() { set_to lagg "$1"; }
# tag COMMAND...: runs it and prints its result (traffic/tags_commands.c)
tag() { set_to tag "$*" && echo $(at tag); }
# says ANSWER COMMAND...
says() {
	answer=$1
	shift
	got=$(tag "$@")
	echo "$*: $got, not $answer"
	[ "$got" = "$answer" ]
}
oerrors() { netstat -I lagg0 -n | awk '/<Link/ { print $(NF - 1); exit }'; }
all_freed() {
	echo "made $(at tags_made), freed $(at tags_freed), the kernel's $(sysctl -n kern.ipc.num_snd_tags)"
	[ "$(at tags_made)" = "$(at tags_freed)" ] && [ "$(sysctl -n kern.ipc.num_snd_tags)" = "$tags_before" ]
}
tags_before=$(sysctl -n kern.ipc.num_snd_tags)

set_to tags 1
traffic_ports 4
on lagg0
ifc lagg0 create laggproto failover laggport lgt0 laggport lgt1 $HOST_IP/24 up

for type in $RATE_LIMIT $UNLIMITED $TLS $TLS_RATE_LIMIT; do
	check "type $type: the primary makes it" says "0 lgt0" alloc $type 7
	check "type $type: and sends with its own" says "0 lgt0" send 7
	tag free >/dev/null
	check "type $type: it is freed" all_freed
done
check "for receiving it is the port's own" says "0 lgt0" alloc $TLS_RX 7
tag free >/dev/null
check "no such type" says $EOPNOTSUPP alloc 5 7
set_to tags_refuse 12
check "the port refuses" says 12 alloc $TLS 7
set_to tags_refuse 0

tag alloc $RATE_LIMIT 7 >/dev/null
check "query is the port's" says "0 125000" query
check "modify too" says 0 modify 500
check "it has been modified" says "0 500" query
check "the port's error is passed on" says $EINVAL modify 0
tag free >/dev/null
if is_c; then
	skip "methods that the port's tag lacks (D-24: C lagg calls a NULL pointer)"
else
	tag alloc $UNLIMITED 7 >/dev/null
	check "no modify (D-24)" says $EOPNOTSUPP modify 500
	check "no query (D-24)" says $EOPNOTSUPP query
	check "no status (D-24)" says $EOPNOTSUPP status
	tag free >/dev/null
	tag alloc $TLS 7 >/dev/null
	[ "$(uname -K)" -lt 1500000 ] || check "status is the port's" says "0 0" status
	tag free >/dev/null
fi

tag alloc $TLS 7 >/dev/null
before=$(oerrors)
ifc lgt0 down
check "the port is down: the owner is told" says $EAGAIN send 7
check "and it is counted nowhere" [ "$(oerrors)" = "$before" ]
tag free >/dev/null
check "the next one makes another" says "0 lgt1" alloc $TLS 7
check "and sends with it" says "0 lgt1" send 7
ifc lgt0 up
check "the port is back: the owner is told" says $EAGAIN send 7
for protocol in $(is_c || echo broadcast) roundrobin; do
	ifc lagg0 laggproto $protocol
	# roundrobin: one of two turns is the tag's own port
	tag send 7 >"$work/turns"
	tag send 7 >>"$work/turns"
	check "$protocol: a tag from before is for its own port alone" grep -qx $EAGAIN "$work/turns"
	check "$protocol: no port has had another's" [ "$(at tags_foreign)" = 0 ]
done
tag free >/dev/null
! is_c || skip "broadcast, with a tag from before (C lagg sends on its port alone)"

if is_c; then
	skip "tags of others (C lagg takes all for its own)"
else
	ifc lagg1 create laggproto failover laggport lgt3 up
	for other in lgt2 lagg1; do
		on $other
		tag alloc $TLS 7 >/dev/null
		on lagg0
		ifc lagg0 laggproto failover
		check "a tag of $other is none of lagg0's" says $EAGAIN send 7
		tag free >/dev/null
	done
	ifc lagg1 destroy
fi

for port in $ports; do ifc "$port" up; done
for protocol in roundrobin broadcast none loadbalance lacp; do
	ifc lagg0 laggproto $protocol
	check "$protocol: no port for a flow, no tag" says $EOPNOTSUPP alloc $TLS 7
done
ifc lagg0 laggport lgt2 laggport lgt3 use_flowid
distributing() { [ "$(ifconfig -n -v lagg0 | grep -c 'laggport:.*DISTRIBUTING')" = 4 ]; }
! is_c || skip "lacp: a flow's tag (C lagg makes none while flows wait)"
for protocol in $(is_c || echo lacp) loadbalance; do
	ifc lagg0 laggproto $protocol flowid_shift 0
	[ $protocol != lacp ] || wait_for 20 distributing
	same=0
	: >"$work/ports"
	for flow in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		port=$(tag alloc $TLS $flow)
		echo "$port" >>"$work/ports"
		[ "$(tag send $flow)" != "$port" ] || same=$((same + 1))
		tag free >/dev/null
	done
	check "$protocol: a flow's packets go where its tag is from: $same of 16" [ $same = 16 ]
	check "$protocol: on all ports" [ "$(sort -u "$work/ports" | grep -c '^0 lgt')" = 4 ]
done

ifc lagg0 laggproto failover
kldload -n if_vlan
ifc vlan7 create vlan 7 vlandev lagg0 up
on vlan7
check "a VLAN's stands for the lagg's, and that for the port's" says "0 lgt0" alloc $RATE_LIMIT 7
check "it arrives as the port's own" says "0 lgt0" send 7
check "it is modified all the way down" eval 'says 0 modify 900 && says "0 900" query'
tag free >/dev/null
ifc vlan7 destroy
check "all are freed" all_freed

# The kernel's own user of tags: a UDP socket with SO_MAX_PACING_RATE
if sysctl -N net.inet.tcp.rl >/dev/null 2>&1; then
	check "TCP knows that the ports are to be asked for rates" sysctl -N net.inet.tcp.rl.lagg0
	arp -s 192.0.2.2 02:00:5e:00:53:02 >/dev/null
	on lagg0
	before=$(at tags_made) modified=$(at tags_modified)
	check "a paced socket" says 0 open 125000
	check "its packets have a tag" says "0 lgt0" datagram
	check "always the same" eval 'says "0 lgt0" datagram && [ $(($(at tags_made) - before)) = 1 ]'
	check "another rate" says 0 rate 250000
	check "modifies it" eval 'says "0 lgt0" datagram && [ $(($(at tags_modified) - modified)) = 1 ]'
	check "and makes no other" [ $(($(at tags_made) - before)) = 1 ]
	ifc lgt0 down
	check "its port goes down: it is told" says $EAGAIN datagram
	check "and asks for another" says "0 lgt1" datagram
	check "two were made" [ $(($(at tags_made) - before)) = 2 ]
	ifc lgt0 up
	tag close >/dev/null
	check "both are freed" wait_for 5 all_freed
	arp -d 192.0.2.2 >/dev/null
else
	skip "a paced socket: this kernel has no RATELIMIT"
fi
ifc lagg0 destroy

build() { ifc lagg0 create laggproto loadbalance $(printf 'laggport %s ' $ports) use_flowid up; }
come_and_go() {
	for port in $ports; do ifconfig -n lagg0 -laggport "$port"; done
	for port in $ports; do ifconfig -n lagg0 laggport "$port"; done
}
go_round() { for protocol in failover roundrobin loadbalance broadcast lacp none; do ifconfig -n lagg0 laggproto $protocol; done; }
up_and_down() {
	ifconfig -n lgt1 down
	ifconfig -n lgt1 up
}
live_and_die() {
	ifconfig -n lagg0 destroy
	build
	sleep 1
}
counter() { awk -v name="$1" '$0 ~ "^" name " " { n += $NF } END { print n + 0 }' "$work/counters"; }
# ran LOOP...: the threads send while the loops run, each flow with a tag of its own if it can have
# one
ran() {
	made=$(at tags_made) arrived=$(at tags_arrived) before=$(oerrors)
	set_to run 1
	for loop in "$@"; do again "$loop" "$loop"; done
	end=$(($(date +%s) + SECS))
	while [ "$(date +%s)" -lt $end ]; do sleep 1; done
	check "$*: no deadlock" stop_loops
	[ -z "$stuck" ] || exit 0
	set_to run 0
	at counters >"$work/counters"
	made=$(($(at tags_made) - made)) arrived=$(($(at tags_arrived) - arrived)) told=$(counter "failed $EAGAIN")
	echo "     $*: $made tags, $arrived packets sent with one, $told told to ask again;" $(cat "$work/counters")
	check "$*: tags are made, sent with, and asked for again" [ "$made" -gt 100 -a "$arrived" -gt 1000 -a "$told" -gt 0 ]
	check "$*: every packet arrived, or an error was returned" [ "$(counter lost)" = 0 ]
	check "$*: no port has had another's" [ "$(at tags_foreign)" = 0 ]
	check "$*: all are freed" all_freed
}
if is_c; then
	skip "tags at full rate under change (C lagg does not outlive that)"
else
	build
	ran come_and_go go_round up_and_down
	check "what was told to ask again is no error of the lagg's" \
	    [ $(($(counter 'failed .*') - told)) = $(($(oerrors) - before)) ]
	ran live_and_die go_round up_and_down
	ifc lagg0 destroy
fi

# Tags keep what they need.
on lagg0
ifc lagg0 create laggproto failover laggport lgt0 laggport lgt1 up
tag alloc $RATE_LIMIT 7 >/dev/null
works() { says 0 modify "$1" && says "0 $1" query; }
ifc lagg0 laggproto lacp
check "a tag outlives its protocol" works 1
ifc lagg0 laggproto failover -laggport lgt0
check "its place in the lagg" works 2
ifc lagg0 destroy
check "the lagg" works 3
set_to ports 0
check "and its port" works 4
if is_c; then
	skip "unload with a tag (D-19: what frees it is gone then)"
	tag free >/dev/null
else
	refuses "unload with a tag (D-19)" 'busy' kldunload "$MODULE"
	refuses "by force (D-19)" 'busy' kldunload -f "$MODULE"
	check "it is there" works 5
	tag free >/dev/null
	check "all are freed" all_freed
	check "unload right after the last one" kldunload "$MODULE"
	check "nothing has leaked" not leaks
	load
fi
