#!/usr/libexec/atf-sh
# What an administrator prefers of failover's ports, and when a link counts

. $(atf_get_srcdir)/lagg.subr

# failover_init LINKS: the jails with a lagg0 of failover each
failover_init()
{
	ours || atf_skip "C lagg has no such settings"
	lagg_init $1
	lagg_pair failover
	traffic
}

# setting NAME=VALUE...: of lagg0 in $near
setting()
{
	local word

	for word; do
		atf_check -o ignore $near sysctl "net.link.lagg.iface.lagg0.$word"
	done
}

# refused NAME=VALUE: it is no good value
refused()
{
	atf_check -s exit:1 -o ignore -e match:'Invalid argument' $near sysctl "net.link.lagg.iface.lagg0.$1"
}

# sends PORT [PRIMARY]: that one of $near sends, and is what ifconfig(8) and the setting say
sends()
{
	if [ $1 = ${2:-$1} ]; then
		within 5 shows "laggport: $1 flags=5<MASTER,ACTIVE>" $near ifconfig lagg0
	else
		within 5 shows "laggport: $1 flags=4<ACTIVE>" $near ifconfig lagg0
		within 5 shows "laggport: $2 flags=1<MASTER>" $near ifconfig lagg0
	fi
	atf_check -o inline:"$1\n" $near sysctl -n net.link.lagg.iface.lagg0.active
}

atf_test_case primary cleanup
primary_head()
{
	atf_set descr "The primary port is the one that is named, also when it leaves and returns"
}
primary_body()
{
	local address

	failover_init 2
	sends $p0
	address=$(mac "$near" lagg0)
	setting primary=$p1
	sends $p1
	[ "$(mac "$near" lagg0)" = $address ] || atf_fail "the lagg has another address"
	atf_check $near ifconfig lagg0 -laggport $p1
	sends $p0
	atf_check $near ifconfig lagg0 laggport $p1
	sends $p1
	atf_check -o ignore $near ifconfig $p1 name wan0
	sends $p0
	atf_check -o ignore $near ifconfig wan0 name $p1
	sends $p1
	refused primary=sixteen_bytes_16
	setting primary=
	sends $p0
}
primary_cleanup()
{
	lagg_cleanup
}

atf_test_case reselect cleanup
reselect_head()
{
	atf_set descr "primary_reselect says whether the primary takes over when its link has come back"
}
reselect_body()
{
	failover_init 2
	setting primary_reselect=failure
	cut 0
	sends $p1 $p0
	heal 0
	sleep 1
	sends $p1 $p0
	cut 1
	sends $p0
	heal 1
	setting primary_reselect=always
	cut 0
	sends $p1 $p0
	heal 0
	sends $p0
	refused primary_reselect=never
}
reselect_cleanup()
{
	lagg_cleanup
}

atf_test_case active cleanup
active_head()
{
	atf_set descr "active moves packets to another port, until that fails"
}
active_body()
{
	failover_init 3
	setting active=$p2
	sends $p2 $p0
	# The other end takes in only what comes from the port on which it sends.
	atf_check -o ignore $far sysctl net.link.lagg.iface.lagg0.active=$q2
	loses_nothing
	cut 1
	heal 1
	sends $p2 $p0
	cut 2
	sends $p0
	heal 2
	sleep 1
	sends $p0
	cut 1
	sends $p0
	for port in $p1 lagg0 ""; do
		refused active=$port
	done
}
active_cleanup()
{
	lagg_cleanup
}

atf_test_case priorities cleanup
priorities_head()
{
	atf_set descr "port_priority orders the ports, and equal ones are as they were added"
}
priorities_body()
{
	failover_init 3
	setting "port_priority=$p2:1 $p1:40000 em77:1"
	sends $p2
	cut 2
	sends $p0 $p2
	cut 0
	sends $p1 $p2
	heal 0
	heal 2
	sends $p2
	setting port_priority=
	sends $p0
	atf_check $near ifconfig lagg0 -laggport $p0 laggport $p0
	sends $p1
	for value in $p0 $p0:65536 "$p0:1 $p0:2" $p0:-1; do
		refused "port_priority=$value"
	done
}
priorities_cleanup()
{
	lagg_cleanup
}

atf_test_case up_delay cleanup
up_delay_head()
{
	atf_set descr "A port whose switch does not forward yet is not used before up_delay is over, unless it is the only one"
}
up_delay_body()
{
	local far_port link_far

	ours || atf_skip "C lagg has no such settings"
	lagg_init 2
	require if_bridge
	make_jail lagg_switch
	# The switch: a bridge has the other ends, and a port to $far.
	atf_check ifconfig $q0 -vnet lagg_far
	atf_check ifconfig $q1 -vnet lagg_far
	atf_check ifconfig $q0 vnet lagg_switch
	atf_check ifconfig $q1 vnet lagg_switch
	make_link lagg_far lagg_switch
	far_port=${link}a link_far=${link}b
	switch="jexec lagg_switch"
	atf_check -o ignore $switch ifconfig bridge0 create
	atf_check $switch ifconfig $q0 up
	atf_check $switch ifconfig $q1 up
	atf_check $switch ifconfig bridge0 addm $q0 addm $q1 addm $link_far up
	atf_check $near ifconfig lagg0 create laggproto failover $near_ports $near_ip/24 up
	atf_check $far ifconfig $far_port $far_ip/24
	traffic
	switch_returns
	[ $lost -ge 20 ] || atf_fail "the switch forwards at once: $lost lost"
	setting up_delay=8000
	switch_returns
	[ $lost -le 3 ] || atf_fail "$lost lost"
	within 10 shows "laggport: $p0 flags=5<MASTER,ACTIVE>" $near ifconfig lagg0
	# The only one does not wait.
	atf_check $near ifconfig $p1 down
	atf_check $near ifconfig $p0 down
	within 5 shows 'status: no carrier' $near ifconfig lagg0
	atf_check $near ifconfig $p1 up
	within 5 shows "laggport: $p1 flags=4<ACTIVE>" $near ifconfig lagg0
	reaches || atf_fail "the only port is not used"
}
up_delay_cleanup()
{
	lagg_cleanup
}

# The first port of the switch goes, comes back, and forwards five seconds later. Sets $lost to how many of 100 pings in
# ten seconds were lost.
switch_returns()
{
	$near ping -q -n -i 0.1 -c 100 -W 500 $far_ip >pings &
	sleep 1
	# The lagg learns of it first: a slow machine loses packets between these.
	atf_check $near ifconfig $p0 down
	atf_check $switch ifconfig bridge0 deletem $q0
	atf_check $switch ifconfig $q0 down
	sleep 1
	atf_check $near ifconfig $p0 up
	atf_check $switch ifconfig $q0 up
	sleep 5
	atf_check $switch ifconfig bridge0 addm $q0
	wait $!
	lost=$(awk '/packets transmitted/ { print $1 - $4 }' pings)
}

atf_init_test_cases()
{
	atf_add_test_case primary
	atf_add_test_case reselect
	atf_add_test_case active
	atf_add_test_case priorities
	atf_add_test_case up_delay
}
