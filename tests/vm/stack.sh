#!/bin/sh
# What a real stack sees: instructions a packet of the whole path, from a program's write(2) through UDP or TCP, IP, a lagg, an epair and the
# lagg at its other end, in a jail, to nc(1) there. C lagg's and ours, for each of PROTOCOLS, and without a lagg; PACKETS (20000) at
# a time, the least of RUNS (3). On one CPU, whose clock must count instructions (VM_ICOUNT=1 VM_SMP=1).
. ./lib.sh
begin
PACKETS=${PACKETS:-20000}
RUNS=${RUNS:-3}
PROTOCOLS=${PROTOCOLS:-failover loadbalance lacp}
UDP=9000
TCP=9001

[ -f "$PWD/lagg_send" ] || { skip "no lagg_send: make vm-modules builds it"; exit 0; }
chmod +x "$PWD/lagg_send"
ready() { [ "$(sockstat -j "$JAIL" -l -p $UDP,$TCP -q | wc -l)" -ge 2 ]; }
# measure COLUMN: both ends have their addresses
measure() {
	jexec $JAIL nc -n -u -l $UDP >/dev/null 2>&1 </dev/null &
	receivers=$!
	jexec $JAIL nc -n -k -l $TCP >/dev/null 2>&1 </dev/null &
	receivers="$receivers $!"
	check "$1: it is reached" wait_for 30 reaches
	wait_for 10 ready
	for run in $(seq "$RUNS"); do
		for row in udp:$UDP tcp:$TCP; do
			if took=$("$PWD/lagg_send" "${row%:*}" $JAIL_IP "${row#*:}" "$PACKETS" 2>"$work/out"); then
				echo "$1 ${row%:*} $took" >>"$work/taken"
			else
				fail "$1: ${row%:*}"
			fi
		done
	done
	kill $receivers
	wait $receivers 2>/dev/null
}
distributing() { [ "$(ifconfig -n -v lagg0 | grep -c 'laggport:.*DISTRIBUTING')" = 2 ]; }

cables 2
ifconfig "$P0" $HOST_IP/24
there "$Q0" $JAIL_IP/24
measure none
ifconfig "$P0" $HOST_IP delete
there "$Q0" $JAIL_IP delete
for module in "$C_KO" "$LAGG_KO"; do
	[ -f "$module" ] || continue
	kldunload "$MODULE" 2>/dev/null
	MODULE=$(basename "$module" .ko)
	kldload "$module" || exit 1
	for protocol in $PROTOCOLS; do
		ifc lagg0 create laggproto "$protocol" laggport "$P0" laggport "$P1" $HOST_IP/24
		there lagg1 create
		there lagg1 laggproto "$protocol" laggport "$Q0" laggport "$Q1" $JAIL_IP/24
		[ "$protocol" != lacp ] || check "$MODULE: lacp has two ports" wait_for 30 distributing
		measure "$MODULE,$protocol"
		ifc lagg0 destroy
		there lagg1 destroy
	done
done

awk -v packets="$PACKETS" '
	!($1 in seen) { seen[$1]; columns[++width] = $1 }
	!(($1, $2) in least) || $3 < least[$1, $2] { least[$1, $2] = $3 }
	END {
		printf "%-30s%10s%10s\n", "instructions a packet", "UDP", "TCP"
		for (i = 1; i <= width; i++)
			printf "%-30s%10.0f%10.0f\n", columns[i], least[columns[i], "udp"] / packets, least[columns[i], "tcp"] / packets
	}' "$work/taken"
