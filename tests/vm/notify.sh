#!/bin/sh
# Two switches that do not know of the failover between them: hosts and switches are told when failover sends on another port. IPv4, IPv6,
# a VLAN, a VLAN on it, a bridge and carp(4) on the lagg; groups; duplicate address detection that no host has heard. Then failovers for
# SECS (30) seconds while all of these come and go.
#
# $SIDE and $OTHER are jails with a bridge each, joined by a cable. The lagg has a port on each. The jail of the peer is on $SIDE's.
. ./lib.sh
begin
SIDE=lagg_side OTHER=lagg_other
kldload -n if_epair
kldload -n if_bridge
kldload -n if_vlan 2>/dev/null
kldload -n carp
PEER_MAC=02:00:00:00:00:99

for jail in $JAIL $SIDE $OTHER; do
	jail -i -c name=$jail vnet persist >/dev/null
	jexec $jail sysctl -q net.inet.icmp.icmplim=0 net.inet6.ip6.dad_count=1 net.inet6.ip6.auto_linklocal=1 >/dev/null
done

# cable JAIL JAIL: an epair; sets $a and $b to its ends there, of which "" is here
cable() {
	a=$(ifconfig epair create)
	b=${a%a}b
	[ -z "$1" ] || ifconfig "$a" vnet "$1"
	[ -z "$2" ] || ifconfig "$b" vnet "$2"
	${1:+jexec $1} ifconfig "$a" up
	${2:+jexec $2} ifconfig "$b" up
}
cable "" $SIDE; P0=$a Q0=$b
cable "" $OTHER; P1=$a Q1=$b
cable $SIDE $OTHER; TRUNK=$a OTHER_TRUNK=$b
cable $SIDE $JAIL; TO_PEER=$a PEER=$b
jexec $SIDE ifconfig bridge0 create addm $Q0 addm $TRUNK addm $TO_PEER up
jexec $OTHER ifconfig bridge0 create addm $Q1 addm $OTHER_TRUNK up
jexec $JAIL ifconfig $PEER ether $PEER_MAC
jexec $JAIL ifconfig $PEER $JAIL_IP/24 up
jexec $JAIL ifconfig $PEER inet6 2001:db8::2/64
jexec $JAIL ifconfig vlan5 create vlan 5 vlandev $PEER up

cut() { ifconfig "$1" down; jexec "$2" ifconfig "$3" down; }
heal() { jexec "$2" ifconfig "$3" up; ifconfig "$1" up; }

# made ARGUMENT...: a new lagg of both ports, the first of them on $SIDE
made() {
	ifc lagg0 destroy 2>/dev/null
	ifc lagg0 create laggproto failover laggport "$P0" laggport "$P1" "$@"
	MAC=$(ifconfig -n lagg0 | awk '/ether/ { print $2 }')
	wait_for 10 has lagg0 'status: active' >/dev/null
}

# at JAIL PORT [MAC]: that bridge has learned the address on that port
at() { jexec "$1" ifconfig bridge0 addr | grep -i "^[[:space:]]*${3:-$MAC} Vlan[0-9]* $2 \|^[[:space:]]*${3:-$MAC} $2 \|${3:-$MAC}.* $2 " >/dev/null; }
tables() { jexec $SIDE ifconfig bridge0 addr; jexec $OTHER ifconfig bridge0 addr; false; }
learned() { at $SIDE "$Q0" "$1" && at $OTHER "$OTHER_TRUNK" "$1" || tables; }
moved() { at $SIDE "$TRUNK" "$1" && at $OTHER "$Q1" "$1" || tables; }
returned() { learned "$1"; }

# Packets that came for an address that is not ours: nothing answers them, so nothing else is learned.
strangers() { netstat -s -p ip | awk '/not forwardable/ { print $1 }'; }

# one_way N: of N packets that the peer sends to the lagg's link-level address, so many arrive
one_way() {
	jexec $JAIL arp -S 192.0.2.77 "$MAC" >/dev/null
	before=$(strangers)
	jexec $JAIL ping -q -n -c "$1" -i 0.02 -W 10 192.0.2.77 >/dev/null
	arrived=$(($(strangers) - before))
	echo "$arrived of $1 arrived"
}
all_arrive() { one_way 20; [ "$arrived" = 20 ]; }
none_arrive() { one_way 20; [ "$arrived" = 0 ]; }

set_notify() { sysctl -q net.link.lagg.iface.lagg0.notify_peers="$1" net.link.lagg.iface.lagg0.notify_interval="$2" >/dev/null || exit 1; }

# What it was like, so that what follows can fail.
made $HOST_IP/24 up
set_notify 0 1000
check "the peer is reached" wait_for 10 reaches
check "both bridges have learned the address" learned
# A new address is announced again after a second, whatever notify_peers says.
sleep 3
cut "$P0" $SIDE "$Q0"
sleep 2
check "peers are told nothing with notify_peers=0: the switches keep what they had" learned
check "and what comes is lost" none_arrive
heal "$P0" $SIDE "$Q0"

made $HOST_IP/24 up
check "the peer is reached" wait_for 10 reaches
check "both bridges have learned the address" learned
jexec $JAIL arp -S 192.0.2.77 "$MAC" >/dev/null
before=$(strangers)
jexec $JAIL ping -q -n -c 60 -i 0.05 -W 10 192.0.2.77 >/dev/null &
ping=$!
sleep 1
cut "$P0" $SIDE "$Q0"
wait $ping
arrived=$(($(strangers) - before))
check "one-way traffic goes on: $arrived of 60 arrive" [ "$arrived" -ge 50 ]
check "both bridges have moved the address" moved
check "the first packets arrive" all_arrive
check "the peer has the lagg's address" eval "jexec $JAIL arp -n $HOST_IP | grep -q $MAC"
heal "$P0" $SIDE "$Q0"
sleep 1
check "and they move it back" returned
check "packets arrive" all_arrive

made up
ifc lagg0 inet6 2001:db8::1/64
check "IPv6: the peer is reached" wait_for 10 ping -q -n -c 1 -W 1000 2001:db8::2
check "both bridges have learned the address" learned
cut "$P0" $SIDE "$Q0"
sleep 1
check "both bridges have moved it" moved
check "packets arrive" all_arrive
check "the peer has the lagg's address" eval "jexec $JAIL ndp -an | tee /dev/stderr | grep -qi '^2001:db8::1 .*$MAC'"
heal "$P0" $SIDE "$Q0"

made up
ifc vlan5 create vlan 5 vlandev lagg0 198.51.100.1/24 up
ifc vlan6 create vlan 6 vlandev vlan5 198.51.101.1/24 up
jexec $JAIL ifconfig vlan5 198.51.100.2/24
check "a VLAN: the peer is reached" wait_for 10 reaches 198.51.100.2
# Records what comes to the peer, until $dump is killed.
listen() {
	jexec $JAIL tcpdump -U -w "$work/pcap" -i $PEER >/dev/null 2>"$work/tcpdump" &
	dump=$!
	wait_for 30 grep -q 'listening on' "$work/tcpdump"
}
heard() { tcpdump -n -e -v -r "$work/pcap" >"$work/heard" 2>&1; grep -q "$1" "$work/heard" || { cat "$work/heard"; false; }; }
listen
cut "$P0" $SIDE "$Q0"
sleep 2
kill $dump; wait $dump 2>/dev/null
check "it is announced" heard "vlan 5, p 0, ethertype ARP.*198.51.100.1 .*tell 198.51.100.1"
check "so is the VLAN on it" heard "vlan 5, p 0, ethertype 802.1Q.*vlan 6.*198.51.101.1 .*tell 198.51.101.1"
check "both bridges have moved the address" moved
check "the peer is reached at once" reaches 198.51.100.2
heal "$P0" $SIDE "$Q0"
ifc vlan6 destroy
ifc vlan5 destroy

made up
ifc bridge7 create addm lagg0 $HOST_IP/24 up
BRIDGE_MAC=$(ifconfig -n bridge7 | awk '/ether/ { print $2 }')
check "a bridge: the peer is reached" wait_for 10 reaches
check "the switches have learned its address" learned "$BRIDGE_MAC"
cut "$P0" $SIDE "$Q0"
sleep 1
check "and move it" moved "$BRIDGE_MAC"
heal "$P0" $SIDE "$Q0"
ifc bridge7 destroy

VHID_MAC=00:00:5e:00:01:07
made $HOST_IP/24 up
ifc lagg0 vhid 7 advbase 20 advskew 0 alias 192.0.2.100/32
check "carp(4) is the master" wait_for 90 has lagg0 'carp: MASTER'
check "the peer reaches its address" wait_for 10 jexec $JAIL ping -q -n -c 1 -W 1000 192.0.2.100
at $SIDE "$Q0" $VHID_MAC || true
cut "$P0" $SIDE "$Q0"
sleep 1
check "both bridges have moved carp's address" moved $VHID_MAC
check "the peer keeps carp's address for it" eval "jexec $JAIL arp -n 192.0.2.100 | grep -q $VHID_MAC"
check "the peer reaches it" jexec $JAIL ping -q -n -c 1 -W 1000 192.0.2.100
check "carp(4) is still the master" has lagg0 'carp: MASTER'
heal "$P0" $SIDE "$Q0"
ifc lagg0 192.0.2.100 -alias

# groups, and how often
made $HOST_IP/24 up
set_notify 3 200
ifc lagg0 inet6 2001:db8::1/64
sleep 3
(echo "j 239.1.2.3 lagg0"; sleep 60) | mtest >/dev/null 2>&1 &
mtest=$!
sleep 4
listen
cut "$P0" $SIDE "$Q0"
sleep 2
kill $dump $mtest; wait $dump 2>/dev/null
check "groups are reported again: IGMP" heard '239.1.2.3.*is_ex\|gaddr 239.1.2.3'
check "and MLD" heard 'multicast listener report'
check "the neighbour advertisement overrides" heard 'tgt is 2001:db8::1, Flags \[override\]'
check "there are three" [ "$(grep -c 'tgt is 2001:db8::1,' "$work/heard")" = 3 ]
check "and three gratuitous ARPs" [ "$(grep -c "who-has $HOST_IP tell $HOST_IP" "$work/heard")" = 3 ]
heal "$P0" $SIDE "$Q0"

# Two hosts with the same address; the second comes when its lagg cannot send.
jexec $JAIL ifconfig $PEER inet6 2001:db8::5/64
sleep 3
made up
cut "$P0" $SIDE "$Q0"
cut "$P1" $OTHER "$Q1"
ifc lagg0 inet6 2001:db8::5/64
sleep 4
check "an address is taken for free while nothing can be heard" hasnt lagg0 'tentative\|duplicated'
heal "$P0" $SIDE "$Q0"
check "and found to be a duplicate when the first port is in service" wait_for 10 has lagg0 '2001:db8::5.*duplicated'
heal "$P1" $OTHER "$Q1"

made $HOST_IP/24 up
set_notify 255 10
failovers() { ifconfig "$P0" down; sleep 0.1; ifconfig "$P0" up; sleep 0.1; }
vlans() {
	ifconfig vlan5 create vlan 5 vlandev lagg0 198.51.100.1/24 up
	ifconfig vlan5 inet6 2001:db8:5::1/64
	ifconfig vlan6 create vlan 6 vlandev vlan5 198.51.101.1/24 up
	sleep 0.2
	ifconfig vlan5 vnet $OTHER
	ifconfig vlan5 -vnet $OTHER
	ifconfig vlan6 destroy
	ifconfig vlan5 destroy
}
addresses() {
	for n in 3 4 5; do ifconfig lagg0 192.0.2.1$n/32 alias; ifconfig lagg0 inet6 2001:db8::1$n/64 alias; done
	for n in 3 4 5; do ifconfig lagg0 192.0.2.1$n -alias; ifconfig lagg0 inet6 2001:db8::1$n -alias; done
}
vhids() {
	ifconfig lagg0 vhid 7 advskew 0 alias 192.0.2.100/32
	ifconfig lagg0 inet6 vhid 8 advskew 0 alias 2001:db8::100/64
	sleep 0.3
	ifconfig lagg0 192.0.2.100 -alias
	ifconfig lagg0 inet6 2001:db8::100 -alias
}
bridges() {
	ifconfig bridge7 create addm lagg0 192.0.2.50/32 up
	sleep 0.1
	ifconfig bridge7 destroy
}
for loop in failovers vlans addresses vhids bridges; do again $loop $loop; done
sleep "${SECS:-30}"
check "failovers while addresses, VLANs, vhids and a bridge come and go" stop_loops
echo "rounds: $(for loop in failovers vlans addresses vhids bridges; do echo "$loop $(rounds $loop)"; done | xargs)"
check "the peer is reached" wait_for 20 reaches
ifc bridge7 destroy 2>/dev/null

for jail in $SIDE $OTHER; do jail -r $jail; done
witness "notify"
