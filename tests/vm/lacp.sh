#!/bin/sh
# LACP between two laggs, here and in a jail: negotiation, a port that goes down and up, one that
# leaves, VLANs, and SECS (60) of link events and ports that come and go while laggs are created and
# destroyed.
. ./lib.sh
begin
SECS=${SECS:-60}

kldload -n if_vlan
cables 3
ifc lagg0 create laggproto lacp laggport "$P0" laggport "$P1" $HOST_IP/24 up
there lagg0 create laggproto lacp laggport "$Q0" laggport "$Q1" $JAIL_IP/24 up

# distributing N COMMAND...: N ports of lagg0 are in service
distributing() {
	n=$1
	shift
	[ "$("$@" lagg0 | grep -c 'flags=1c<ACTIVE,COLLECTING,DISTRIBUTING>')" = "$n" ]
}
both_distribute() { distributing "$1" ifc && distributing "$1" there; }
# one_lacpdu COMMAND...: succeeds within the time of one LACPDU each way, without a timer
one_lacpdu() { wait_for 2 "$@"; }
no_loss() { ping -q -n -c 50 -i 0.02 $JAIL_IP | tee /dev/stderr | grep -q ' 0.0% packet loss'; }

check "two ports distribute on both sides" wait_for 10 both_distribute 2
check "the link is up" has lagg0 'status: active'
check "the first packet arrives" reaches
check "nothing is lost" no_loss
check "options say so" eval 'ifc -v lagg0 | grep -q "active ports: 2"'
lag_id() { "$@" -v lagg0 | awk '/lag id:/ { getline l; print $0, l }' | grep -oE '[0-9A-F]{2}(-[0-9A-F]{2}){5}' | sort | uniq | tr '\n' ' '; }
same_lag() { [ -n "$(lag_id ifc)" ] && [ "$(lag_id ifc)" = "$(lag_id there)" ]; }
check "both name the same aggregation" same_lag

there "$Q0" down
check "a port of the other side goes down: one is left" one_lacpdu eval 'ifc "$P0" down; both_distribute 1'
check "nothing is lost on it" no_loss
there "$Q0" up
ifc "$P0" up
check "and up: both again" wait_for 10 both_distribute 2
check "nothing is lost after" wait_for 5 no_loss

ifc lagg0 -laggport "$P1"
check "a port that leaves says so" one_lacpdu distributing 1 there
ifc lagg0 laggport "$P1" laggport "$P2"
there lagg0 laggport "$Q2"
check "three distribute" wait_for 10 both_distribute 3

ifc lagg0 lacp_fast_timeout
fast() { [ "$(ifc -v lagg0 | grep -c 'state=.*ACTIVITY,TIMEOUT')" = 3 ]; }
check "the fast timeout holds for all ports" fast
ifc lagg0 -laggport "$P2" laggport "$P2"
check "for those that join later too (F-18)" fast
ifc lagg0 -lacp_fast_timeout
check "three distribute again" wait_for 10 both_distribute 3
before=$(lag_id there)
ifc lagg0 ether 02:00:5e:00:53:99
check "another address: three distribute again (F-26)" wait_for 15 both_distribute 3
check "and it is the same system (F-56)" [ "$(lag_id there)" = "$before" ]
ifc lagg0 -laggport "$P0"
check "the primary leaves, and the others stay in service (F-56)" distributing 2 ifc
check "as the same system (F-56)" eval 'same_lag && [ "$(lag_id there)" = "$before" ]'
ifc lagg0 laggport "$P0"
check "and three distribute again" wait_for 10 both_distribute 3
ifc lagg0 laggproto failover
check "another protocol says farewell" one_lacpdu distributing 0 there
ifc lagg0 laggproto lacp
check "and lacp again" wait_for 10 both_distribute 3
ifc lagg0 destroy
check "so does the end" one_lacpdu distributing 0 there
there lagg0 destroy

for n in 0 1; do
	eval "p=\$P$n q=\$Q$n"
	ifc vlan$n create vlan 7 vlandev "$p" up
	there vlan$n create vlan 7 vlandev "$q" up
done
ifc lagg0 create laggproto lacp laggport vlan0 laggport vlan1 $HOST_IP/24 up
there lagg0 create laggproto lacp laggport vlan0 laggport vlan1 $JAIL_IP/24 up
check "over VLANs (D-20)" wait_for 10 both_distribute 2
check "and the jail answers" wait_for 5 reaches
ifc lagg0 destroy
there lagg0 destroy
ifc vlan0 destroy
ifc vlan1 destroy
there vlan0 destroy
there vlan1 destroy

# As if_lagg_test's lacp_linkstate_destroy_stress, with lacp.
there lagg0 create laggproto lacp laggport "$Q0" laggport "$Q1" $JAIL_IP/24 up
again links eval 'there "$Q0" down; ifconfig -n "$P0" down; there "$Q0" up; ifconfig -n "$P0" up'
again looks eval 'ifconfig -n -v lagg0; there -v lagg0; sysctl net.link.lagg'
flow in jexec $JAIL ping -q -n -f $HOST_IP
lives() {
	end=$(($(date +%s) + SECS)) n=0
	while [ "$(date +%s)" -lt $end ]; do
		ifc lagg0 create laggproto lacp laggport "$P0" laggport "$P1" $HOST_IP/24 up || return
		ifc lagg0 -laggport "$P1" laggport "$P1" -laggport "$P0" laggport "$P0" || return
		[ $((n % 4)) != 0 ] || wait_for 10 eval '[ "$(ifc lagg0 | grep -c DISTRIBUTING)" -ge 1 ]' || return
		ifc lagg0 destroy || return
		n=$((n + 1))
	done
	echo "     $n lives" >/dev/console
}
check "laggs live and die under link events for $SECS s (D-2, D-3, D-4, D-10)" lives
check "and no process is stuck" stop_loops
