#!/bin/sh
# For SECONDS (120), operations at laggs, epairs, VLANs, taps, bridges and jails by many at once under traffic (fuzz/fuzz.h),
# as SEED (1) names them; then all of it can be removed, and nothing is left.
# LAGG=none: bridges instead of laggs, and no module, to see what the kernel does by itself. WITHOUT: operations to leave out.
. ./lib.sh
[ "$LAGG" != none ] || load() { :; }
begin
SECONDS=${SECONDS:-120}
SEED=${SEED:-1}

[ -f "$PWD/lagg_fuzz" ] || { skip "no lagg_fuzz: make vm-modules builds it"; exit 0; }
chmod +x "$PWD/lagg_fuzz"
kldload -n if_epair if_bridge if_vlan if_tuntap 2>/dev/null
sysctl -q net.inet.icmp.icmplim=0 net.log_promisc_mode_change=0 net.link.log_link_state_change=0 net.link.bridge.log_mac_flap=0 >/dev/null

# The kernel's own lock orders (docs/proof.md): WITNESS reports each once, and not with lagg in its stack when that comes to it.
own_lock_orders() {
	ifconfig -n tap9 create inet6 fe80::9/64 up
	ifconfig -n vlan9 create vlan 9 vlandev tap9 up
	ifconfig -n bridge9 create inet6 fe80::9/64 up
	ifconfig -n vlan8 create vlan 8 vlandev bridge9 up
	ifconfig -n vlan9
	ifconfig -n vlan8
	for option in txcsum rxcsum tso lro vlanhwtag; do
		ifconfig -n tap9 -$option
		ifconfig -n tap9 $option
	done
	for member in tap9 vlan9; do
		ifconfig -n bridge9 addm $member
		ifconfig -n bridge9 deletem $member
	done
	for i in vlan8 vlan9 bridge9 tap9; do ifconfig -n $i destroy; done
}
own_lock_orders >/dev/null 2>&1

interfaces() { ifconfig -l | tr ' ' '\n' | sort; }
before=$(interfaces)

echo "     SEED=$SEED SECONDS=$SECONDS LAGG=$LAGG WITHOUT=$WITHOUT" >/dev/console
"$PWD/lagg_fuzz" "$SEED" "$SECONDS" "$LAGG" $WITHOUT 2>"$work/fuzz"
status=$?
grep '^did ' "$work/fuzz" | sed 's/^/     /'
grep -E '^(WRONG|STUCK)' "$work/fuzz" | sort | uniq -c | sort -rn | head -n 20 >"$work/said"
if [ $status = 99 ]; then
	stuck=1
	procstat -kka | grep -E 'lagg_fuzz|lagg|taskq swi'
fi
ended_well() {
	echo "status $status"
	cat "$work/said"
	[ $status = 0 ]
}
check "$(awk '/^did/ { n += $3 + $5 } END { print n }' "$work/fuzz") operations of seed $SEED, none stuck, and nobody got what is not his" ended_well
[ -z "$stuck" ] || exit 0

# did KIND: it was seen to be done
did() { awk -v kind="$1" '$1 == "did" && $2 == kind { done = $3 } END { exit !(done > 0) }' "$work/fuzz"; }
if [ -z "$LAGG" ]; then
	for kind in join leave protocol vlan vnet unjail newlink; do
		check "$kind was done" did $kind
	done
fi

for jail in fuzz0 fuzz1; do
	[ -z "$(jls -j $jail name 2>/dev/null)" ] || check "jail $jail ends" jail -r $jail
	check "and is gone" wait_for 60 not jls -d -j $jail
done
remove() {
	for i in $(ifconfig -l); do
		case $i in
		lo0) ;;
		*) ifconfig -n "$i" destroy 2>/dev/null ;;
		esac
	done
	[ "$(interfaces)" = "$before" ]
}
check "everything can be destroyed" wait_for 60 remove
if [ -z "$LAGG" ]; then
	check "the module can be unloaded" kldunload "$MODULE"
	check "nothing has leaked" not leaks
	load
fi
