#!/usr/libexec/atf-sh
# A lagg as a member of if_bridge(4)

. $(atf_get_srcdir)/lagg.subr

atf_test_case forwarding cleanup
forwarding_head()
{
	atf_set descr "Frames pass between a bridge's lagg and another member, and to the bridge itself, under each protocol"
}
forwarding_body()
{
	local protocol

	require if_bridge
	lagg_init 2
	make_jail lagg_third
	make_link lagg_far lagg_third
	atf_check $near ifconfig lagg0 create $near_ports $near_ip/24 up
	atf_check $far ifconfig lagg0 create $far_ports up
	atf_check $far ifconfig bridge0 create addm lagg0 addm ${link}a $far_ip/24 up
	atf_check jexec lagg_third ifconfig ${link}b 192.0.2.3/24
	# A bridge makes its members promiscuous.
	within 5 shows 'flags=.*PROMISC' $far ifconfig $q0
	for protocol in failover loadbalance lacp; do
		both laggproto $protocol
		within 20 reaches
		within 10 reaches 192.0.2.3
		within 10 jexec lagg_third ping -q -n -c 1 -W 1000 $near_ip
		atf_check -o match:' 0.0% packet loss' $near ping -q -n -c 20 -i 0.05 192.0.2.3
	done
	both laggproto failover
	cut 0
	within 10 reaches 192.0.2.3
	heal 0
	within 10 reaches 192.0.2.3
	atf_check $far ifconfig bridge0 deletem lagg0
	within 5 not shows 'flags=.*PROMISC' $far ifconfig $q0
}
forwarding_cleanup()
{
	lagg_cleanup
}

atf_test_case member cleanup
member_head()
{
	atf_set descr "A member's MTU is the bridge's, and a lagg that is destroyed is no member any more"
}
member_body()
{
	require if_bridge
	lagg_init 1
	atf_check $near ifconfig lagg0 create $near_ports up
	atf_check $near ifconfig bridge0 create addm lagg0 up
	atf_check -s not-exit:0 -e ignore $near ifconfig lagg0 mtu 1400
	[ $(mtu "$near" lagg0) = 1500 ] && [ $(mtu "$near" $p0) = 1500 ] || atf_fail "a member's MTU was changed"
	atf_check $near ifconfig lagg0 destroy
	atf_check -o not-match:'member: lagg0' $near ifconfig bridge0
	atf_check -o not-match:PROMISC $near ifconfig $p0
}
member_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case forwarding
	atf_add_test_case member
}
