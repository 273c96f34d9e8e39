#!/bin/sh
# Instructions per packet, C lagg's and ours, for 1, 2, 8 and 32 ports: PACKETS (50000) UDP packets
# of 60 bytes, of 256 flows, 64 per epoch section, the least of RUNS (3). The cost of the loop
# without a lagg is subtracted, so the rest is the lagg's own, with what it calls. On one CPU, whose
# TSC must count instructions (make vm-bench).
. ./lib.sh
begin
PACKETS=${PACKETS:-50000}
RUNS=${RUNS:-3}
PROTOCOLS=${PROTOCOLS:-failover roundrobin loadbalance lacp broadcast}
COUNTS=${COUNTS:-1 2 8 32}

# ticks transmit|input: the CPU's ticks per packet
ticks() {
	for run in $(seq "$RUNS"); do
		sysctl -q kern.lagg_traffic."$1"="$PACKETS" >/dev/null || return
		sysctl -n kern.lagg_traffic."$1"
	done | awk -v packets="$PACKETS" 'NR == 1 || $1 < least { least = $1 } END { printf "%.1f\n", least / packets }'
}
# measure PROTOCOL PORTS
measure() {
	for way in transmit input; do
		check "$MODULE, $1, $2 ports, $way" eval 'taken=$(ticks '$way')'
		echo "$MODULE $way $1 $2 $taken" >>"$work/ticks"
	done
}
distributing() { [ "$(ifconfig -n -v lagg0 | grep -c 'laggport:.*DISTRIBUTING')" -ge "$1" ]; }
sends() { sysctl -q kern.lagg_traffic.transmit=64 >/dev/null; }

for module in "$C_KO" "$LAGG_KO"; do
	[ -f "$module" ] || continue
	kldunload "$MODULE" 2>/dev/null
	MODULE=$(basename "$module" .ko)
	kldload "$module" || exit 1
	for count in $COUNTS; do
		traffic_ports "$count"
		sysctl -q kern.lagg_traffic.lagg=lgt0 >/dev/null
		measure loop "$count"
		ifc lagg0 create $(printf 'laggport %s ' $ports) up
		sysctl -q kern.lagg_traffic.lagg=lagg0 >/dev/null
		for protocol in $PROTOCOLS; do
			ifc lagg0 laggproto "$protocol"
			if [ "$protocol" = lacp ]; then
				most=$count
				# C lagg's aggregations have no more.
				if is_c && [ "$count" -gt 16 ]; then most=16; fi
				check "$MODULE: lacp has $most ports" wait_for 30 distributing "$most"
			fi
			check "$MODULE: $protocol sends" wait_for 30 sends
			measure "$protocol" "$count"
		done
		ifc lagg0 destroy
	done
done

awk -v ours="$(basename "$LAGG_KO" .ko)" '
	$3 == "loop" { loop[$1, $2, $4] = $5; next }
	!(($2, $3) in own) { own[$2, $3]; rows[++height] = $2 SUBSEP $3 }
	!($4 in own) { own[$4]; columns[++width] = $4 }
	{ own[$1, $2, $3, $4] = sprintf("%.1f", $5 - loop[$1, $2, $4]) }
	END {
		printf "%-21s", ""
		for (j = 1; j <= width; j++)
			printf "%18s", columns[j] (columns[j] == 1 ? " port" : " ports")
		printf "\n%-21s", "instructions a packet"
		for (j = 1; j <= width; j++)
			printf "%9s%9s", "C", "ours"
		for (i = 1; i <= height; i++) {
			split(rows[i], row, SUBSEP)
			printf "\n%-9s%-12s", row[1], row[2]
			for (j = 1; j <= width; j++)
				printf "%9s%9s", own["if_lagg", row[1], row[2], columns[j]], own[ours, row[1], row[2], columns[j]]
		}
		print ""
	}' "$work/ticks"
