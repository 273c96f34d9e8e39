#!/usr/libexec/atf-sh
# ng_ether(4) on a lagg

. $(atf_get_srcdir)/lagg.subr

atf_test_case ether cleanup
ether_head()
{
	atf_set descr "A lagg has a node of ng_ether(4), whose hooks see what comes in and goes out, under each protocol"
}
ether_body()
{
	local protocol

	require netgraph ng_socket ng_ether ng_hub ng_hole
	lagg_init 2
	lagg_pair failover
	traffic
	atf_check -o match:'Name: lagg0 .*Type: ether' $near ngctl list
	# From the wire to the host and back through a hub
	atf_check $near ngctl mkpeer lagg0: hub lower lower
	atf_check $near ngctl connect lagg0: lagg0:lower upper upper
	for protocol in failover loadbalance lacp; do
		both laggproto $protocol
		traffic 20
	done
	# A hole node instead of the hub swallows everything.
	atf_check $near ngctl shutdown lagg0:lower
	within 10 reaches
	atf_check $near ngctl mkpeer lagg0: hole lower hole
	atf_check -s exit:2 -o ignore $near ping -q -n -c 1 -W 500 $far_ip
	atf_check $near ngctl shutdown lagg0:lower
	within 10 reaches
	# The node is removed with the lagg.
	atf_check $near ifconfig lagg0 destroy
	atf_check -o not-match:'Name: lagg0 ' $near ngctl list
}
ether_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case ether
}
