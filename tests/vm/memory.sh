#!/bin/sh
# Kernel memory of a lagg with 32 ports, in malloc's buckets, for each protocol, C lagg's and ours.
# Ours is limited to 30 KB, without the leaves of sysctl(8): 8 KB for the lagg and for each port.
. ./lib.sh
begin
LIMIT=$((30 * 1024))
LEAVES=$((33 * 8192))

# Bytes of malloc's types lagg and devbuf, which C lagg uses for LACP
used() { vmstat -m | awk '$1 == "lagg" || $1 == "devbuf" { n += $3 } END { print n + 0 }'; }
# Memory that was replaced waits for its grace period, so read until the value is the same twice.
settled() {
	last=$now now=$(used)
	[ "$last" = "$now" ] && sleep 1 && [ "$(used)" = "$now" ]
}
taken() {
	now=
	wait_for 20 settled >&2
	is_c || now=$((now - LEAVES))
	echo $((now - before))
}

traffic_ports 32
for module in "$LAGG_KO" "$C_KO"; do
	[ -f "$module" ] || continue
	kldunload "$MODULE" 2>/dev/null
	MODULE=$(basename "$module" .ko)
	kldload "$module" || exit 1
	for protocol in failover roundrobin loadbalance broadcast lacp none; do
		now=
		wait_for 20 settled
		before=$now
		ifc lagg0 create
		if ifc lagg0 laggproto $protocol 2>/dev/null; then
			ifc lagg0 $(printf 'laggport %s ' $ports) up
			has lagg0 'laggport: lgt31' || fail "32 ports"
			taken=$(taken)
			echo "     $MODULE, $protocol: $taken bytes (vmstat -m:$(vmstat -m | grep -w lagg | tr -s ' '))"
			[ "$MODULE" = if_lagg ] || check "$protocol: $taken bytes, 30 KB at most" [ "$taken" -le $LIMIT ]
		fi
		ifc lagg0 destroy
	done
done
kldunload "$MODULE"
MODULE=$(basename "$LAGG_KO" .ko)
kldload "$LAGG_KO"
