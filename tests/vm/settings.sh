#!/bin/sh
# net.link.lagg.iface.<name> through the life of laggs: made, renamed, moved, destroyed, in two jails, with readers and
# writers of every node. CYCLES (1250) is how often the last part makes a lagg, gives it two other names and destroys it, in
# each of them.
. ./lib.sh
begin
CYCLES=${CYCLES:-1250}
for module in if_epair if_bridge if_vlan; do kldload -n $module; done

at=net.link.lagg.iface
get() { sysctl -n $at."$1"; }
is() { [ "$(get "$1")" = "$2" ]; }
set_to() { sysctl "$at.$1=$2"; }
inside() { jexec "$@"; }
has_node() { sysctl -N $at | grep -q "^$at\.$1\."; }
hasnt_node() { ! has_node "$1"; }
oids() { vmstat -m | awk '$1 == "sysctloid" { n = $2 } END { print n + 0 }'; }
fewer_oids() { [ "$(oids)" -le "$1" ] || { echo "$(oids)"; return 1; }; }

ifc lagg0 create
sysctl $at.lagg0 >/dev/null # The tree is complete.
first=$(oids)
check "a setting is read" is lagg0.min_links 0
check "a setting is written" set_to lagg0.min_links 2
check "and read again" is lagg0.min_links 2
refuses "a bad value" "Invalid argument" set_to lagg0.min_links 33
check "changes nothing" is lagg0.min_links 2
refuses "no text" "invalid\|Invalid" set_to lagg0.min_links two
check "the module has a version" sh -c "sysctl -n net.link.lagg.version | grep -q '^[0-9]*\.[0-9]*\.[0-9]*$'"
check "each setting has a description" sh -c "! sysctl -d $at.lagg0 | grep -q ': *$'"
check "the exporter lists it" sh -c "prometheus_sysctl_exporter $at | grep -q '_min_links{lagg=\"lagg0\"} 2' ||
    ! which prometheus_sysctl_exporter"

# Names
check "a lagg is renamed" ifc lagg0 name trunk0
check "its settings go with it" is trunk0.min_links 2
check "the old node goes" wait_for 10 hasnt_node lagg0
for called in stats lacp iface la.gg0 1; do
	check "a lagg named $called" ifc "$(ifconfig -g lagg)" name $called
	check "has its node" is "$(echo $called | sed 's/\./%2E/')".min_links 2
done
ifc "$(ifconfig -g lagg)" name lagg0
check "and is lagg0 again" is lagg0.min_links 2
others() {
	for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		ifc lagg1 create name a && ifc a name b && ifc b destroy || return 1
	done
}
check "twenty laggs come, change their names and go" others
check "no leaf is left of them" wait_for 30 fewer_oids "$first"

# kenv(1) does not reach a lagg's settings.
kenv $at.lagg0.min_links=7 >/dev/null
kenv -u $at.lagg0.min_links >/dev/null
check "kenv changes nothing" is lagg0.min_links 2

# Settings of the hash, under traffic
network
ifc lagg0 laggproto loadbalance laggport "$P0" laggport "$P1" $HOST_IP/24 up
check "traffic" wait_for 10 reaches
flow out ping -q -n -f $JAIL_IP
turn() {
	for value in 1 0; do
		sysctl -q $at.lagg0.hash_symmetric=$value $at.lagg0.rebalance=$value >/dev/null || return 1
		sleep 1.1
	done
}
turns() { for n in 1 2 3 4 5 6 7 8; do turn || return 1; done; }
check "flows are measured and not, eight times" turns
check "traffic goes on" wait_for 10 reaches
stop_flows
ifc lagg0 -laggport "$P0" -laggport "$P1" laggproto failover down

# Two jails
for j in one two; do
	jail -c name=$j vnet persist path=/ >/dev/null
	inside $j ifconfig lagg0 create
done
check "a jail's lagg0 has settings of its own" [ "$(inside one sysctl -n $at.lagg0.min_links)" = 0 ]
check "which its root sets" inside one sysctl $at.lagg0.min_links=3
check "for that jail alone" is lagg0.min_links 2
check "not for the other" [ "$(inside two sysctl -n $at.lagg0.min_links)" = 0 ]
refuses "nobody may not" "Operation not permitted" su -m nobody -c "sysctl $at.lagg0.min_links=1"
ifc lagg0 name lagg7
check "a node stays while a jail needs it" [ "$(inside one sysctl -n $at.lagg0.min_links)" = 3 ]
refuses "and says that here is no such lagg" "No such file" sysctl $at.lagg0.min_links=1
check "a lagg moves to a jail" ifc lagg7 vnet two
check "its settings with it" [ "$(inside two sysctl -n $at.lagg7.min_links)" = 2 ]
check "a jail ends" jail -r two
check "the lagg comes home" is lagg7.min_links 2
ifc lagg7 destroy
check "its node goes with it" wait_for 10 hasnt_node lagg7
check "the others stay" [ "$(inside one sysctl -n $at.lagg0.min_links)" = 3 ]

# Readers and writers, while laggs come, change their names and go
jail -c name=two vnet persist path=/ >/dev/null
for j in one two; do
	again "reader$j" inside $j sysctl $at
	again "writer$j" inside $j sh -c "for l in a b lagg1 lagg2; do sysctl -q $at.\$l.min_links=1; done"
done
again all sysctl -a
again kenv kenv -q $at.lagg1.min_links
! which prometheus_sysctl_exporter >/dev/null || again exporter prometheus_sysctl_exporter
inside two ifconfig lagg0 create
chmod +x "$PWD/lagg_control"
cycles() { inside "$1" "$PWD/lagg_control" rename lagg0 "$CYCLES"; }
cycles one >"$work/one" 2>&1 &
here=$!
check "$CYCLES laggs made, renamed and destroyed in one jail" cycles two
check "and in the other" wait $here
check "readers and writers end" stop_loops
check "they read" [ "$(rounds readerone)" -gt 0 ]
check "the nodes are gone" wait_for 30 hasnt_node a
jail -r one
jail -r two
check "no node is left" sh -c "! sysctl -N $at | grep ."
check "the module is unloaded" kldunload "$MODULE"
check "with all that it had" none_in_use
finish
