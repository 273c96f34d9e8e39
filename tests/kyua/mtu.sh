#!/usr/libexec/atf-sh
# The MTU, which a lagg and its ports have in common

. $(atf_get_srcdir)/lagg.subr

atf_test_case set cleanup
set_head()
{
	atf_set descr "The MTU is set on the lagg, for all ports, and not on a port"
}
set_body()
{
	lagg_init 2
	atf_check $near ifconfig lagg0 create $near_ports up
	atf_check $near ifconfig lagg0 mtu 1400
	[ "$(mtu "$near" lagg0) $(mtu "$near" $p0) $(mtu "$near" $p1)" = '1400 1400 1400' ] || atf_fail "not all have it"
	atf_check -s not-exit:0 -e match:'Invalid argument' $near ifconfig $p0 mtu 1500
	atf_check -s not-exit:0 -e match:'Invalid argument' $near ifconfig lagg0 mtu 71
	[ "$(mtu "$near" lagg0) $(mtu "$near" $p0) $(mtu "$near" $p1)" = '1400 1400 1400' ] || atf_fail "not all have kept it"
}
set_cleanup()
{
	lagg_cleanup
}

atf_test_case jumbo cleanup
jumbo_head()
{
	atf_set descr "Large packets go whole when both laggs have a large MTU"
}
jumbo_body()
{
	lagg_init 2
	lagg_pair failover
	traffic
	atf_check -s exit:2 -o ignore -e match:'Message too long' $near ping -D -q -n -c 1 -s 8000 $far_ip
	both mtu 9000
	within 10 $near ping -D -q -n -c 1 -W 1000 -s 8000 $far_ip
	both mtu 1500
	traffic
}
jumbo_cleanup()
{
	lagg_cleanup
}

atf_test_case join cleanup
join_head()
{
	atf_set descr "The first port gives its MTU, the next ones take the lagg's"
}
join_body()
{
	lagg_init 2
	atf_check $near ifconfig $p0 mtu 2000
	atf_check $near ifconfig lagg0 create laggport $p0
	[ $(mtu "$near" lagg0) = 2000 ] || atf_fail "not the first port's MTU"
	atf_check $near ifconfig lagg0 laggport $p1
	[ $(mtu "$near" $p1) = 2000 ] || atf_fail "the second port has not the lagg's MTU"
}
join_cleanup()
{
	lagg_cleanup
}

atf_test_case leave cleanup
leave_head()
{
	atf_set descr "A port that leaves gets its MTU back"
}
leave_body()
{
	lagg_init 2
	atf_check $near ifconfig $p0 mtu 2000
	atf_check $near ifconfig lagg0 create laggport $p0 laggport $p1
	c_fails F-12
	atf_check $near ifconfig lagg0 -laggport $p1
	[ $(mtu "$near" $p1) = 1500 ] || atf_fail "not its own MTU"
	atf_check $near ifconfig lagg0 mtu 3000 destroy
	[ $(mtu "$near" $p0) = 2000 ] || atf_fail "not its own MTU"
}
leave_cleanup()
{
	lagg_cleanup
}

atf_test_case rejected cleanup
rejected_head()
{
	atf_set descr "An interface that is rejected has not given its MTU"
}
rejected_body()
{
	lagg_init 1
	atf_check $near ifconfig lagg0 create
	atf_check $near ifconfig lagg1 create mtu 2000
	atf_check -s not-exit:0 -e match:'Invalid argument' $near ifconfig lagg0 laggport lagg1
	c_fails F-12
	[ $(mtu "$near" lagg0) = 1500 ] || atf_fail "the lagg has the MTU of what it rejected"
}
rejected_cleanup()
{
	lagg_cleanup
}

atf_test_case refused cleanup
refused_head()
{
	atf_set descr "Where a port refuses an MTU, all keep the one they have; with another one it does not join"
}
refused_body()
{
	require if_vlan
	lagg_init 2
	atf_check $near ifconfig vlan7 create vlan 7 vlandev $p1 up
	atf_check $near ifconfig lagg0 create laggport $p0 laggport vlan7 up
	# More than its parent's
	atf_check -s not-exit:0 -e match:'Invalid argument' $near ifconfig lagg0 mtu 2000
	[ "$(mtu "$near" lagg0) $(mtu "$near" $p0) $(mtu "$near" vlan7)" = '1500 1500 1500' ] || atf_fail "not all have kept theirs"
	atf_check $near ifconfig lagg0 -laggport vlan7 mtu 2000
	atf_check -s not-exit:0 -e match:'Invalid argument' $near ifconfig lagg0 laggport vlan7
	atf_check -o not-match:'laggport: vlan7' $near ifconfig lagg0
	[ $(mtu "$near" vlan7) = 1500 ] || atf_fail "what did not join has not kept its MTU"
}
refused_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case set
	atf_add_test_case jumbo
	atf_add_test_case join
	atf_add_test_case leave
	atf_add_test_case rejected
	atf_add_test_case refused
}
