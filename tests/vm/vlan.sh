#!/bin/sh
# A VLAN child on the lagg and a VLAN port in the same lagg, changed in parallel with the lagg's own ports, MTU and destruction, for SECS (60)
# seconds: locks are taken in one order, and no thread waits for ever (D-16, D-17).
. ./lib.sh
begin
SECS=${SECS:-60}
kldload -n if_vlan 2>/dev/null

network 3
build() {
	ifc lagg0 create laggproto failover laggport "$P0" laggport "$P1" $HOST_IP/24 up
}
build
check "traffic" wait_for 10 reaches
check "a VLAN port" ifc vlan7 create vlan 7 vlandev "$P2" up
check "is taken" ifc lagg0 laggport vlan7
check "beside a VLAN child" ifc vlan5 create vlan 5 vlandev lagg0 up
if ! is_c; then
	refuses "the VLAN child as a port of its own parent (D-25)" 'ifconfig' ifc lagg0 laggport vlan5
fi
jexec $JAIL ifconfig vlan5 create vlan 5 vlandev "${P0%a}b" 2>/dev/null
check "the child has the lagg's address" has vlan5 "ether $(ifconfig lagg0 | awk '/ether/ { print $2 }')"
ifc vlan5 inet6 2001:db8::12:3456/64
in_group() { netstat -I "$P1" -ian | grep -q 33:33:ff:12:34:56; }
check "the child's groups are the ports' too" wait_for 10 in_group
check "a new MTU reaches the VLAN port" ifc lagg0 mtu 1400
check "as it should" has vlan7 'mtu 1400'
ifc lagg0 mtu 1500

child() {
	ifconfig -n vlan5 create vlan 5 vlandev lagg0 up
	ifconfig -n vlan5 inet 198.51.100.1/24 alias
	ifconfig -n vlan5 promisc
	ifconfig -n vlan5 mtu 1400
	ifconfig -n vlan5 -promisc
	ifconfig -n vlan5 destroy
}
groups() {
	ifconfig -n vlan6 create vlan 6 vlandev lagg0 up
	ifconfig -n vlan6 inet6 2001:db8::$(date +%S)/64 alias
	ifconfig -n vlan6 inet6 2001:db8::$(date +%S)/64 -alias
}
ports() {
	ifconfig -n lagg0 -laggport vlan7 laggport vlan7
	ifconfig -n lagg0 -laggport "$P0" laggport "$P0"
}
settings() {
	ifconfig -n lagg0 promisc mtu 1400
	ifconfig -n lagg0 -promisc mtu 1500
}
options() {
	settings
	ifconfig -n lagg0 down
	ifconfig -n lagg0 up
}
vlan_port() {
	ifconfig -n vlan7 destroy
	ifconfig -n vlan7 create vlan 7 vlandev "$P2" up
	ifconfig -n lagg0 laggport vlan7
}
whole() {
	ifconfig -n lagg0 destroy
	build
}

# ran NAME SECONDS LOOP...: runs the loops together
ran() {
	what=$1 secs=$2
	shift 2
	for loop in "$@"; do again $loop $loop; done
	end=$(($(date +%s) + secs))
	while [ "$(date +%s)" -lt $end ]; do sleep 1; done
	check "$what: no deadlock" stop_loops 120
	[ -z "$stuck" ] || exit 0
	echo "     rounds:$(for loop in "$@"; do printf ' %s %s' $loop "$(rounds $loop)"; done)"
}
flow out ping -q -n -i 0.01 $JAIL_IP
ran "child, groups, ports, options" "$SECS" child groups ports options
ran "and the VLAN port itself" "$SECS" child groups vlan_port options
stop_flows
# To all hosts, which do not answer, and without down and up. If an interface goes while it comes
# up, or while addresses are resolved on it, this kernel at times keeps a timer of an address or of
# ARP for an interface that is gone.
to_all() {
	ping -q -n -c 50 -i 0.01 -I $HOST_IP 224.0.0.1
}
ran "and the lagg itself" "$SECS" child groups ports vlan_port settings whole to_all
ifc lagg0 destroy 2>/dev/null
build
check "traffic after" wait_for 20 reaches
