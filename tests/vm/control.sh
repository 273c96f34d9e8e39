#!/bin/sh
# What an administrator waits for, C lagg's and ours: microseconds, the least of RUNS (5), to make a lagg with PORTS (32) ports, to switch it to each
# protocol, to destroy it, and to make one that is loadbalance from the beginning (`spread`), with what ifconfig itself takes. Then what grows with what
# there is, without ifconfig (control/requests.c): PORTS ports one by one, VLANS (4000) VLANs, a port beside them, and one that leaves with GROUPS
# (1000) groups.
# Best with VM_ICOUNT=1 VM_SMP=1: then 1,000 instructions are a microsecond.
. ./lib.sh
begin
RUNS=${RUNS:-5}
PORTS=${PORTS:-32}
VLANS=${VLANS:-4000}
GROUPS=${GROUPS:-1000}
PROTOCOLS='roundrobin loadbalance lacp broadcast none failover'

# measure WHAT COMMAND...
measure() {
	what=$1
	shift
	start=$(date +%s%N)
	"$@" >"$work/out" 2>&1 || { fail "$MODULE: $what"; return; }
	echo "$MODULE $what $((($(date +%s%N) - start) / 1000))" >>"$work/taken"
	# What was put off is not the next one's.
	sleep 0.5
}

# requests ROW WHAT LAGG N [PREFIX]
requests() {
	row=$1
	shift
	if took=$("$PWD/lagg_control" "$@" 2>"$work/out"); then
		echo "$MODULE $row $took" >>"$work/taken"
	else
		fail "$MODULE: $row"
	fi
	sleep 0.5
}

traffic_ports "$PORTS"
[ -f "$PWD/lagg_control" ] || { skip "no lagg_control: make vm-modules builds it"; exit 0; }
chmod +x "$PWD/lagg_control"
# each FUNCTION: runs it RUNS times with C lagg, and with ours
each() {
	for module in "$C_KO" "$LAGG_KO"; do
		[ -f "$module" ] || continue
		kldunload "$MODULE" 2>/dev/null
		MODULE=$(basename "$module" .ko)
		kldload "$module" || exit 1
		for run in $(seq "$RUNS"); do
			$1
		done
		ok "$MODULE: $1, $RUNS times"
	done
}

a_lagg() {
	measure nothing ifc lgt0
	measure create ifc lagg0 create $(printf 'laggport %s ' $ports) up
	for protocol in $PROTOCOLS; do
		measure "$protocol" ifc lagg0 laggproto "$protocol"
	done
	has lagg0 "laggport: lgt$((PORTS - 1))" || fail "$MODULE: $PORTS ports"
	measure destroy ifc lagg0 destroy
	measure spread ifc lagg0 create laggproto loadbalance $(printf 'laggport %s ' $ports) up
	ifc lagg0 destroy
}

ports_and_groups() {
	ifc lagg0 create up
	requests joins join lagg0 "$PORTS" lgt
	requests leaves leave lagg0 "$PORTS" lgt
	# Without ports: C lagg joins all of them again for each.
	"$PWD/lagg_control" group lagg0 "$GROUPS" >/dev/null
	requests join-groups join lagg0 1 lgt
	requests leave-groups leave lagg0 1 lgt
	ifc lagg0 destroy
}

vlans() {
	ifc lagg0 create laggport lgt1 up
	requests vlans vlan lagg0 "$VLANS"
	requests join-vlans join lagg0 1 lgt
	requests leave-vlans leave lagg0 1 lgt
	ifc lagg0 destroy
}

each a_lagg
for port in $ports; do ifc "$port" up; done
each ports_and_groups
# Last: to destroy them takes longer than all the rest.
"$PWD/lagg_control" new lgt0 "$VLANS" >/dev/null || exit 1
each vlans

awk -v ours="$(basename "$LAGG_KO" .ko)" '
	!($2 in seen) { seen[$2]; rows[++height] = $2 }
	!(($1, $2) in least) || $3 < least[$1, $2] { least[$1, $2] = $3 }
	END {
		printf "%-15s%10s%10s\n", "microseconds", "C", "ours"
		for (i = 1; i <= height; i++)
			printf "%-15s%10d%10d\n", rows[i], least["if_lagg", rows[i]], least[ours, rows[i]]
	}' "$work/taken"
