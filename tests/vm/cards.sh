#!/bin/sh
# Laggs of two of QEMU's cards each, each model with itself and with each other, and such a lagg in a jail at the other ends of the
# two links, which are hubs. Link messages are counted: once a lagg has settled there are none. PAIRS: "00 01", those of models' numbers,
# of which the first is the primary. A pair takes 5 to 12 minutes.
#
# The runner's cards have addresses by which they are known here: model, and 0 and 1 for ours, 2 and 3 for the jail's (qemu.py).
# Of QEMU 7.2 this is known, with no lagg: e1000e is interrupted for ever with MSI-X; it and vmxnet3 send what TSO leaves to them as
# fragments where their link is a hub; vmxnet3 hears what is sent to the address that it came with, and to no other (F-47), unless it is
# promiscuous; and FreeBSD 15.1's vmx(4) panics when it attaches again.
. ./lib.sh
begin
LIMIT=30

for driver in em vmx re virtio virtio_pci vtnet; do kldload -n if_$driver 2>/dev/null || kldload -n $driver 2>/dev/null; done
kldload -n if_vlan 2>/dev/null
sysctl -q net.inet.icmp.icmplim=0 net.inet6.ip6.auto_linklocal=0 >/dev/null

# card MODEL N: the name that it has here
card() {
	for i in $(ifconfig -l); do
		! ifconfig "$i" | grep -q "ether 02:00:5e:00:54:$1$2" || echo "$i"
	done
}
if [ -z "$(card 0 0)" ]; then
	skip "no cards of QEMU's: say VM_SUITE=cards to the runner"
	exit 0
fi
jail -i -c name=$JAIL vnet persist >/dev/null || exit 1
# place DEVICE: of what devctl(8) has detached, and which has no name then
place() { pciconf -l | sed -n "s/^$1@\(pci[0-9:]*\):.*/\1/p"; }
for m in 0 1 2 3 4; do
	for n in 0 1 2 3; do
		i=$(card $m $n)
		if [ $m = 1 ]; then
			kenv -q "dev.em.${i#em}.iflib.disable_msix=1" >/dev/null
			at=$(place "$i")
			devctl detach "$i"
			devctl attach "$at"
			i=$(card $m $n)
		fi
		eval "card$m$n=$i"
		case $n in 2 | 3) ifconfig "$i" vnet $JAIL ;; esac
	done
done

both() { ifc lagg0 "$@" && there lagg1 "$@"; }
# cable N on|off: of our card on a link. The jail's is taken down, for not every driver hears of its cable there.
cable() {
	eval "model=\$m$1"
	echo "VM-LINK: card$model$1 $2" >/dev/console
	if [ "$1" = 0 ]; then far=$C; else far=$D; fi
	if [ "$2" = on ]; then there "$far" up; else there "$far" down; fi
}

# Link messages of the laggs and their ports
messages() { dmesg | grep -cE "^(lagg0|lagg1|$A|$B|$C|$D): link state changed"; }
# settles: no more messages for 3 s
settles() {
	seen=-1 quiet=0 seconds=0
	while [ $quiet -lt 3 ]; do
		sleep 1
		now=$(messages)
		if [ "$now" = $seen ]; then quiet=$((quiet + 1)); else seen=$now quiet=0; fi
		seconds=$((seconds + 1))
		[ $seconds -lt 60 ] || { dmesg | tail -n 20; return 1; }
	done
}
options() { for i in lagg0 "$A" "$B"; do ifc "$i"; done | grep -E 'options=|^[a-z].* mtu'; }

# sends TO COMMAND...: data by TCP to an address, where the command runs a listener; the same bytes arrive
sends() {
	to=$1
	shift
	"$@" timeout 60 nc -l 5001 >"$work/got" 2>/dev/null &
	listener=$!
	wait_for $LIMIT data_goes "$@" || return
	wait $listener
	cmp "$work/data" "$work/got"
}
data_goes() {
	if [ "$to" = $JAIL_IP ]; then nc -N -w 20 $to 5001 <"$work/data"; else jexec $JAIL nc -N -w 20 $to 5001 <"$work/data"; fi
}
carries() { sends $JAIL_IP jexec $JAIL && sends $HOST_IP command; }
dd if=/dev/urandom of="$work/data" bs=64k count=8 2>/dev/null

distributing() { [ "$(ifc lagg0 | grep -c 'flags=1c<')" = "$1" ] && [ "$(there lagg1 | grep -c 'flags=1c<')" = "$1" ]; }
# stays N: so many ports are in service on both sides, at once and for 2 s
stays() {
	n=0
	while [ $n -lt 10 ]; do
		distributing "$1" || { ifc -v lagg0; there -v lagg1; return 1; }
		sleep 0.2
		n=$((n + 1))
	done
}
works() {
	[ "$1" != lacp ] || wait_for $LIMIT distributing $together || return
	wait_for $LIMIT reaches
}

# What asks ports for something, and is undone
vlan_here_and_there() {
	ifc vlan5 create vlan 5 vlandev lagg0 198.51.100.1/24 up &&
		there vlan5 create vlan 5 vlandev lagg1 198.51.100.2/24 up || return
	wait_for 10 reaches 198.51.100.2
	result=$?
	ifc vlan5 destroy
	there vlan5 destroy
	return $result
}
promiscuous() {
	ifc lagg0 promisc && has "$A" PROMISC && has "$B" PROMISC || return
	ifc lagg0 -promisc && hasnt "$A" PROMISC && hasnt "$B" PROMISC || return
	wait_for 5 reaches
}
jumbo() {
	both mtu 9000 && works "$1" || return
	wait_for 10 ping -q -D -n -c 1 -s 8900 $JAIL_IP && carries
}
same() { [ "$(options)" = "$before" ] || { echo "$before"; options; return 1; }; }

# rests WHAT MESSAGES: no more messages than so many
rests() {
	now=$(messages)
	check "$1: no link message at rest (F-34)" [ "$now" = "$2" ]
	[ "$now" = "$2" ] || dmesg | grep 'link state changed' | tail -n 10
	check "$1: options are what they were (F-34)" wait_for 5 same
}

# cut WHAT N PROTOCOL PORT: the cable of a link; frames go over the other, then over both
cut() {
	port=$4
	cable "$2" off
	check "$1: without the cable of $4" eval 'wait_for $LIMIT hasnt "$port" "status: active" && wait_for $LIMIT reaches'
	[ "$3" != lacp ] || check "$1: it is out of service" wait_for $LIMIT distributing 1
	cable "$2" on
	check "$1: and with it" eval 'wait_for $LIMIT has "$port" "status: active" && works $protocol'
}

# with PROTOCOL
with() {
	what="$pair $1"
	sysctl -q kern.msgbuf_clear=1 >/dev/null
	began=$(date +%s)
	both laggproto "$1"
	check "$what" works "$1"
	check "$what: it settles (F-34)" settles
	row="$row$(printf '%6d in %2d s' $seen $(($(date +%s) - began - 3)))"
	before=$(options)
	check "$what: TCP carries the same bytes both ways" carries
	[ $hears = 0 ] || check "$what: promiscuous, and not" promiscuous
	check "$what: a VLAN" vlan_here_and_there
	rests "$what" "$seen"
	cut "$what" 0 "$1" "$A"
	[ "$alone$1" = 0failover ] || cut "$what" 1 "$1" "$B"
	offloads "$1"
	sizes "$1"
	filters "$1"
}

# What asks ports for something takes none out of service.
lacp_keeps() {
	[ $together = 2 ] || return 0
	ifc lagg0 -laggport "$A"
	check "$pair: the primary leaves, the other stays in service (F-56)" stays 1
	ifc lagg0 laggport "$A"
	check "$pair: and comes back" works lacp
	ifc lagg0 ether 02:00:5e:00:53:7$m0
	check "$pair: another address: both stay in service (F-56)" stays 2
	check "$pair: and frames come to it" works lacp
	ifc lagg0 mtu 1400
	check "$pair: another MTU: both stay in service (F-69)" stays 2
	ifc lagg0 mtu 1500
}

# settled WHAT: and all options are as before
settled() {
	check "$1: it settles" settles
	check "$1: options are what they were" wait_for 5 same
}

# segments PROTOCOL: to QEMU's hub only e1000 and rtl8139 make segments. Failover sends on the first alone.
segments() {
	case $1$m0$m1 in *00 | *03 | *33 | failover0[12] | failover3[12]) ;; *) return 1 ;; esac
}
offloads() {
	settles
	before=$(options)
	both -txcsum -rxcsum -txcsum6 -rxcsum6
	check "$pair $1: TCP without checksums" eval 'hasnt lagg0 TXCSUM && hasnt "$A" TXCSUM && hasnt "$B" TXCSUM && works $protocol && carries'
	both txcsum rxcsum txcsum6 rxcsum6
	settled "$pair $1, checksums"
	if segments "$1"; then
		both tso4
		check "$pair $1: TCP with TSO" eval 'has lagg0 TSO4 && has "$A" TSO4 && has "$B" TSO4 && works $protocol && carries'
		both -tso4
		settled "$pair $1, TSO"
	elif [ "$m1" = 4 ]; then
		both tso4
		check "$pair $1: no TSO, which virtio-net has not" eval 'hasnt lagg0 TSO4 && hasnt "$A" TSO4 && works $protocol && carries'
	fi
}

sizes() {
	before=$(options)
	case $m0$m1 in
	*3*)
		refuses "$pair $1: an MTU of 9000, which rtl8139 has not" 'Invalid argument' ifc lagg0 mtu 9000
		check "$pair $1: so it is as before" eval 'works $protocol && same'
		return
		;;
	esac
	check "$pair $1: MTU 9000" jumbo "$1"
	both mtu 1500
	check "$pair $1: and 1500 again" works "$1"
	settled "$pair $1, MTU"
}

# Frames that a port was given, by its driver's count
given() { netstat -I "$1" -n | awk '/<Link/ { print $5; exit }'; }
both_given() { echo $(($(given "$A") + $(given "$B"))); }
# hears_strangers: frames of a VLAN that is not here come to the ports
hears_strangers() {
	n=$(both_given)
	jexec $JAIL ping -q -n -c 100 -i 0.02 203.0.113.255
	sleep 2
	n=$(($(both_given) - n))
	echo "$n frames came"
	[ $n -ge 80 ]
}
# Cards that can let in the frames of the lagg's VLANs alone. One that is promiscuous lets in all.
filters() {
	case $m0$m1 in *3*) return ;; esac
	before=$(options)
	check "$pair $1: VLANs are filtered" eval 'has lagg0 VLAN_HWFILTER && has "$A" VLAN_HWFILTER && has "$B" VLAN_HWFILTER'
	there vlan6 create vlan 6 vlandev lagg1 203.0.113.2/24 up
	[ $hears = 0 ] || check "$pair $1: what is not here is not let in" not hears_strangers
	both -vlanhwfilter
	check "$pair $1: a VLAN without filter" eval 'hasnt "$A" VLAN_HWFILTER && hasnt "$B" VLAN_HWFILTER && works $protocol && vlan_here_and_there'
	check "$pair $1: and all is let in" wait_for 10 hears_strangers
	both vlanhwfilter
	check "$pair $1: a VLAN with it again" eval 'works $protocol && vlan_here_and_there'
	[ $hears = 0 ] || check "$pair $1: and that alone" not hears_strangers
	there vlan6 destroy
	settled "$pair $1, filter"
}

# device INTERFACE: what is on the PCI bus of it: vtnet(4) is on another device
device() {
	parent=$(sysctl -n "dev.$(echo "$1" | sed 's/[0-9]*$/.&/').%parent")
	case $parent in pci*) echo "$1" ;; *) echo "$parent" ;; esac
}
# departs N PORT: the driver of a card detaches, and attaches again
departs() {
	device=$(device "$2")
	at=$(place "$device")
	devctl detach "$device"
	check "$pair: a card whose driver detaches leaves" hasnt lagg0 "laggport: $2"
	# Behind a hub its partner does not see it.
	cable "$1" off
	check "$pair: and the other carries on" wait_for $LIMIT reaches
	devctl attach "$at"
	cable "$1" on
	check "$pair: it attaches" wait_for 10 ifc "$2" up
	check "$pair: and joins" ifc lagg0 laggport "$2"
	both -tso4 -tso6
	check "$pair: both work" works lacp
}

table='messages until it has settled  failover   loadbalance     lacp'
for models in ${PAIRS:-00 11 22 33 44 01 02 03 04 12 31 14 32 24 34}; do
	m0=${models%?} m1=${models#?}
	eval "A=\$card${m0}0 B=\$card${m1}1 C=\$card${m0}2 D=\$card${m1}3"
	pair="$A $B" row=
	if [ "$m0" = "$m1" ]; then alone=1; else alone=0; fi
	case $models in *2*) hears=0 ;; *) hears=1 ;; esac
	# LACP has ports of one speed together: 1 Gb/s, 10, or 100 Mb/s.
	case $models in [01][01] | 33 | [24][24]) together=2 ;; *) together=1 ;; esac
	for i in "$A" "$B"; do ifc "$i" up tso4 vlanhwfilter; done
	for i in "$C" "$D"; do there "$i" up tso4 vlanhwfilter; done
	check "$pair" ifc lagg0 create laggport "$A" laggport "$B" $HOST_IP/24 up
	there lagg1 create laggport "$C" laggport "$D" $JAIL_IP/24 up
	both -tso4 -tso6
	[ $hears = 1 ] || both promisc
	for protocol in failover loadbalance lacp; do with $protocol; done
	lacp_keeps
	# vmx(4) does not attach again.
	case $models in
	22) skip "$pair: a card whose driver detaches, and attaches again" ;;
	?2) departs 0 "$A" ;;
	*) departs 1 "$B" ;;
	esac
	table="$table
$(printf '%-27s%s' "$pair" "$row")"
	ifc lagg0 destroy
	there lagg1 destroy
	for i in "$A" "$B"; do ifc "$i" down; done
	for i in "$C" "$D"; do there "$i" down; done
done
echo "$table"
