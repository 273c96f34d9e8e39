#!/bin/sh
# For SECONDS (120), operations at laggs, epairs, VLANs, taps, bridges, cards and jails by many at once under traffic
# (fuzz/fuzz.h), as SEED (1) names them, in PARTS (3); the module is unloaded between them, too. Then all of it can be removed,
# and nothing is left.
# LAGG=none: bridges instead of laggs, and no module, to see what the kernel does by itself. WITHOUT: operations to leave out.
. ./lib.sh
[ "$LAGG" != none ] || load() { :; }
begin
SECONDS=${SECONDS:-120}
SEED=${SEED:-1}
PARTS=${PARTS:-3}

[ -f "$PWD/lagg_fuzz" ] || { skip "no lagg_fuzz: make vm-modules builds it"; exit 0; }
chmod +x "$PWD/lagg_fuzz"
kldload -n if_epair if_bridge if_vlan if_tuntap if_vtnet 2>/dev/null
sysctl -q net.inet.icmp.icmplim=0 net.log_promisc_mode_change=0 net.link.log_link_state_change=0 net.link.bridge.log_mac_flap=0 >/dev/null

# The kernel's own lock orders (docs/proof.md): WITNESS reports each once, and not with lagg in its stack when that comes to it.
own_lock_orders() {
	jail -i -c name=fuzz9 vnet persist
	jail -r fuzz9
	wait_for 30 not jls -d -j fuzz9
	kldunload if_bridge
	kldload -n if_bridge
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
cards=
[ -z "$(ifconfig vtnet0 2>/dev/null)" ] || cards='detach attach'

ended_well() {
	echo "status $status"
	grep -E '^(WRONG|STUCK)' "$work/fuzz" | sort | uniq -c | sort -rn | head -n 20
	[ $status = 0 ]
}
# part N: its operations are those of the seed SEED + 1000 N.
part() {
	seed=$((SEED + 1000 * $1))
	echo "     seed $seed SECONDS=$((SECONDS / PARTS)) LAGG=$LAGG WITHOUT=$WITHOUT" >/dev/console
	"$PWD/lagg_fuzz" $seed $((SECONDS / PARTS)) "${LAGG:-$LAGG_KO}" $WITHOUT 2>"$work/fuzz"
	status=$?
	grep '^did ' "$work/fuzz" | sed 's/^/     /'
	grep '^did ' "$work/fuzz" >>"$work/all"
	grep '^with' "$work/fuzz" | tee -a "$work/kinds" | sed 's/^/     /'
	if [ $status = 99 ]; then
		stuck=1
		procstat -kka | grep -E 'lagg_fuzz|lagg|taskq swi'
	fi
	check "$(awk '/^did/ { n += $3 + $5 } END { print n }' "$work/fuzz") operations of seed $seed, none stuck, and nobody got what is not his" ended_well
	[ -z "$stuck" ] || exit 0
}

jails='fuzz0 fuzz1 fuzz2'
# Those of every network stack
laggs() {
	all_of_group lagg
	for jail in $jails; do jexec $jail ifconfig -g lagg 2>/dev/null; done
}
no_laggs() {
	for i in $(all_of_group lagg); do ifconfig -n "$i" destroy; done
	for jail in $jails; do
		for i in $(jexec $jail ifconfig -g lagg 2>/dev/null); do jexec $jail ifconfig -n "$i" destroy; done
	done 2>/dev/null
	[ -z "$(laggs)" ]
}
# What else a part has left stays.
reload() {
	[ -z "$(laggs)" ] || refuses "the module is not unloaded while there is a lagg" 'busy' kldunload "$MODULE"
	check "all laggs can be destroyed" wait_for 60 no_laggs
	check "then the module is unloaded" wait_for 10 kldunload "$MODULE"
	check "and loaded" load
}

n=0
while [ $n -lt "$PARTS" ]; do
	part $n
	n=$((n + 1))
	[ -n "$LAGG" ] || [ $n = "$PARTS" ] || reload
done

# All kinds of operations, unless the time was short
count_kinds() { awk '/^did/ { sum += $3 + $5 } END { print sum }' "$work/all"; }
not_done() {
	awk -v without=" $WITHOUT ${cards:-detach attach} $unjail" \
	    '{ done[$2] += $3 } END { for (kind in done) if (done[kind] == 0 && !index(without " ", " " kind " ")) print kind }' "$work/all"
}
# No jail ends while duplicates are detected.
unjail=
grep -q '^without' "$work/kinds" || unjail=unjail
if [ -z "$LAGG" ] && [ "$(count_kinds)" -ge 20000 ]; then
	check "each kind of operation was done: $(not_done)" [ -z "$(not_done)" ]
elif [ -z "$LAGG" ]; then
	skip "whether each kind of operation was done: of $(count_kinds) not $(not_done)"
fi

for jail in $jails; do
	[ -z "$(jls -j $jail name 2>/dev/null)" ] || check "jail $jail ends" jail -r $jail
	check "and is gone" wait_for 60 not jls -d -j $jail
done
for at in ${cards:+pci0:0:26:0 pci0:0:27:0}; do devctl attach $at 2>/dev/null; done
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
