#!/bin/sh
# The module loads, ifconfig drives it, and frames go through it.
. ./lib.sh
begin

check "the module is there as if_lagg" loaded
if ! is_c; then
	refuses "the system's own if_lagg cannot be loaded beside it" 'File exists\|already loaded' kldload "$C_KO"
fi

# Create and destroy
check "create lagg0" ifc lagg0 create
refuses "lagg0 a second time" 'exists' ifc lagg0 create
check "create takes the next unit" sh -c '[ "$(ifconfig -n lagg create)" = lagg1 ]'
check "destroy" ifc lagg1 destroy
refuses "destroy what is not there" 'does not exist\|not configured' ifc lagg1 destroy
refuses "unload while there is a lagg (D-19)" 'busy' kldunload "$MODULE"
load
gone lagg0 && ifc lagg0 create

# Ports, and the error of each refused request
network
check "add two ports" ifc lagg0 laggport "$P0" laggport "$P1" $HOST_IP/24 up
check "the first port is master and active" has lagg0 "laggport: $P0 flags=5<MASTER,ACTIVE>"
check "the second waits" has lagg0 "laggport: $P1 flags=0<>"
mac=$(ifconfig lagg0 | awk '/ether/ { print $2 }')
check "the ports have the lagg's address" has "$P1" "ether $mac"
check "the same port again" ifc lagg0 laggport "$P0"
ifc lagg1 create
refuses "a port of another lagg" 'busy' ifc lagg1 laggport "$P0"
refuses "a port that does not exist" 'Invalid argument' ifc lagg0 laggport nosuch0
refuses "the lagg itself" 'Invalid argument' ifc lagg0 laggport lagg0
refuses "another lagg" 'Invalid argument' ifc lagg0 laggport lagg1
refuses "what is not Ethernet" 'Protocol not supported' ifc lagg0 laggport lo0
ifc lagg1 destroy
refuses "remove a port that does not exist" 'Invalid argument' ifc lagg0 -laggport nosuch0
tap=$(ifconfig tap create)
refuses "remove what is not a port" 'No such file' ifc lagg0 -laggport "$tap"
refuses "the MTU of a port" 'Invalid argument' ifc "$P0" mtu 1400
check "the MTU of the lagg" ifc lagg0 mtu 1400
check "is its ports'" has "$P1" 'mtu 1400'
refuses "an MTU out of range" 'Invalid argument' ifc lagg0 mtu 71
ifc lagg0 mtu 1500
refuses "roundrobin's option with failover" 'Invalid argument' ifc lagg0 rr_limit 5
refuses "lacp's option with failover" 'Invalid argument' ifc lagg0 lacp_strict
full() {
	ifc lagg1 create
	n=0
	while [ $n -lt 32 ]; do
		ifc lagg1 laggport "$(ifconfig tap create)" || return
		n=$((n + 1))
	done
	[ "$(ifconfig -v lagg1 | grep -c laggport:)" = 32 ]
}
check "32 ports" full
refuses "but not 33" 'No space left' ifc lagg1 laggport "$tap"
check "destroy with 32 ports" ifc lagg1 destroy
for i in $(all_of_group tap); do ifc "$i" destroy; done

# Frames
check "the jail answers" wait_for 10 reaches
check "and reaches us" jexec $JAIL ping -q -n -c 3 -i 0.2 $HOST_IP

replies() { [ "$(grep -c 'bytes from' "$work/flow.ping")" -ge "$1" ]; }
more_replies() { wait_for 20 replies $(($(grep -c 'bytes from' "$work/flow.ping") + $1)); }
flow ping ping -n -i 0.1 $JAIL_IP
ping=$(tail -n 1 "$work/flows")
more_replies 10
cut_and_heal() {
	ifc "$P0" down
	more_replies 20 || return
	has lagg0 "laggport: $P1 flags=4<ACTIVE>" || { ifc lagg0; return 1; }
	ifc "$P0" up
	more_replies 20 && has lagg0 "laggport: $P0 flags=5<MASTER,ACTIVE>"
}
check "ping goes on when the master goes down, and comes back" cut_and_heal
removed() {
	ifc lagg0 -laggport "$P0"
	more_replies 20 || return
	has lagg0 "laggport: $P1 flags=5<MASTER,ACTIVE>" || { ifc lagg0; return 1; }
	ifc lagg0 laggport "$P0"
	more_replies 10
}
check "ping goes on when the master is removed, and comes back" removed
kill -INT "$ping"
wait "$ping"
few_lost() {
	grep 'packet loss' "$work/flow.ping"
	# One packet in flight for each of the four changes, and one more for the peer's ARP.
	awk '/packet loss/ { exit !($1 - $4 <= 5) }' "$work/flow.ping"
}
check "no more lost than was in flight" few_lost
echo "     $(grep 'packet loss' "$work/flow.ping")"

oerrs() { netstat -I lagg0 -n | awk '/<Link/ { print $(NF - 1) }'; }
all_down() {
	before=$(oerrs)
	ifc "$P0" down
	ifc "$P1" down
	not reaches || return
	[ "$(oerrs)" -gt "$before" ]
}
check "with all ports down the lagg counts output errors" all_down

# What was dropped
said() {
	sysctl net.link.lagg.iface.lagg0
	[ "$(leaf protocol)" = failover ] && [ "$(leaf dropped.no_active_port)" -gt 0 ] && [ "$(leaf dropped.disabled)" = 0 ]
}
standby() {
	# P1 has been the master since P0 was removed.
	before=$(leaf port."$P0".dropped.not_accepted)
	jexec $JAIL ping -q -n -c 1 -W 500 192.0.2.99
	[ "$(leaf port."$P0".dropped.not_accepted)" -gt "$before" ]
}
listed() { sysctl net.link.lagg | grep -q '^net.link.lagg.iface.lagg0.protocol: failover'; }
others() { [ -z "$(jexec $JAIL sysctl net.link.lagg.iface)" ]; }
if is_c; then
	skip "counters of what was dropped"
else
	check "the sysctl says what was dropped, and why" said
	check "and is listed" listed
	check "but not for another vnet" others
fi
ifc "$P0" up
ifc "$P1" up
check "and works again" wait_for 10 reaches
is_c || check "what the standby port hears is counted" standby

flow flood ping -q -n -f $JAIL_IP
switch() {
	n=0
	while [ $n -lt 30 ]; do
		ifc lagg0 laggproto none && ifc lagg0 laggproto failover || return
		n=$((n + 1))
	done
	wait_for 10 reaches
}
check "30 times failover to none and back under traffic" switch
ifc lagg0 laggproto none
check "none lets nothing through" not reaches
check "and says so" has lagg0 'laggproto none'
ifc lagg0 laggproto failover
check "failover does" wait_for 10 reaches

# Up, down, address
check "down" ifc lagg0 down
check "takes the ports down" not is_up "$P0"
check "up" ifc lagg0 up
check "takes them up" is_up "$P1"
check "a new address" ifc lagg0 ether 02:00:00:00:00:77
check "is the ports' too" has "$P1" 'ether 02:00:00:00:00:77'
check "and frames go" wait_for 10 reaches

# Departures
check "a port that is destroyed leaves" sh -c "ifconfig -n $P0 destroy && ! ifconfig -n lagg0 | grep -q $P0"
check "the other carries on" wait_for 10 reaches
check "a port that is renamed stays" sh -c "ifconfig -n $P1 name port1 && ifconfig -n lagg0 | grep -q 'laggport: port1'"
ifc port1 name "$P1" >/dev/null
check "destroy under traffic" ifc lagg0 destroy
is_c || check "the lagg's counters are gone" sh -c '[ -z "$(sysctl net.link.lagg.iface.lagg0)" ]'
check "the port is as it was" hasnt "$P1" 'ether 02:00:00:00:00:77'
