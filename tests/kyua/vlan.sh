#!/usr/libexec/atf-sh
# VLANs on a lagg, and laggs over VLANs

. $(atf_get_srcdir)/lagg.subr

# Addresses on the VLANs
near_vlan_ip=198.51.100.1
far_vlan_ip=198.51.100.2

# vlan_pair VLAN PARENT: the same VLAN in both jails
vlan_pair()
{
	atf_check $near ifconfig vlan$1 create vlan $1 vlandev $2 $near_vlan_ip/24 up
	atf_check $far ifconfig vlan$1 create vlan $1 vlandev $2 $far_vlan_ip/24 up
}

atf_test_case on_lagg cleanup
on_lagg_head()
{
	atf_set descr "A VLAN on a lagg has its address and its traffic, under each protocol"
}
on_lagg_body()
{
	local protocol

	require if_vlan
	lagg_init 2
	lagg_pair failover
	vlan_pair 5 lagg0
	[ "$(mac "$near" vlan5)" = "$(mac "$near" lagg0)" ] || atf_fail "the VLAN has not the lagg's address"
	for protocol in failover roundrobin loadbalance broadcast lacp; do
		both laggproto $protocol
		within 20 reaches $far_vlan_ip
		within 10 reaches_back $near_vlan_ip
		# Together with untagged traffic
		traffic
	done
	both laggproto failover
	atf_check $near ifconfig lagg0 ether 02:00:00:00:00:77
	atf_check -o match:'ether 02:00:00:00:00:77' $near ifconfig vlan5
	within 20 reaches $far_vlan_ip
	# Without its parent it has no traffic, and does no harm.
	atf_check $near ifconfig lagg0 destroy
	atf_check -s exit:2 -o ignore -e ignore $near ping -q -n -c 1 -W 100 $far_vlan_ip
}
on_lagg_cleanup()
{
	lagg_cleanup
}

atf_test_case on_lagg_carrier cleanup
on_lagg_carrier_head()
{
	atf_set descr "A VLAN on a lagg has carrier while that has"
}
on_lagg_carrier_body()
{
	require if_vlan
	lagg_init 1
	atf_check $near ifconfig lagg0 create $near_ports up
	atf_check $near ifconfig vlan5 create vlan 5 vlandev lagg0 up
	within 5 shows 'status: active' $near ifconfig vlan5
	atf_check $near ifconfig lagg0 -laggport $p0
	within 5 shows 'status: no carrier' $near ifconfig vlan5
	atf_check $near ifconfig lagg0 $near_ports
	within 5 shows 'status: active' $near ifconfig vlan5
}
on_lagg_carrier_cleanup()
{
	lagg_cleanup
}

atf_test_case on_lagg_mtu cleanup
on_lagg_mtu_head()
{
	atf_set descr "A VLAN on a lagg can have the lagg's MTU, and large packets"
}
on_lagg_mtu_body()
{
	require if_vlan
	lagg_init 2
	lagg_pair failover
	both mtu 9000
	vlan_pair 5 lagg0
	atf_check $near ifconfig vlan5 mtu 9000
	atf_check $far ifconfig vlan5 mtu 9000
	within 10 $near ping -D -q -n -c 1 -W 1000 -s 8000 $far_vlan_ip
}
on_lagg_mtu_cleanup()
{
	lagg_cleanup
}

atf_test_case stacked cleanup
stacked_head()
{
	atf_set descr "A VLAN on a VLAN on a lagg has traffic"
}
stacked_body()
{
	require if_vlan
	lagg_init 2
	lagg_pair loadbalance
	atf_check $near ifconfig lagg0.5 create vlanproto 802.1ad mtu 1496 up
	atf_check $far ifconfig lagg0.5 create vlanproto 802.1ad mtu 1496 up
	atf_check $near ifconfig lagg0.5.6 create mtu 1492 $near_vlan_ip/24 up
	atf_check $far ifconfig lagg0.5.6 create mtu 1492 $far_vlan_ip/24 up
	within 10 reaches $far_vlan_ip
	within 10 reaches_back $near_vlan_ip
}
stacked_cleanup()
{
	lagg_cleanup
}

# over PROTOCOL: a lagg over a VLAN on each of two links
over()
{
	require if_vlan
	lagg_init 2
	near_ports= far_ports=
	for n in 0 1; do
		eval "atf_check $near ifconfig vlan$n create vlan 7 vlandev \$p$n up"
		eval "atf_check $far ifconfig vlan$n create vlan 7 vlandev \$q$n up"
		near_ports="$near_ports laggport vlan$n"
		far_ports="$far_ports laggport vlan$n"
	done
	lagg_pair $1
	traffic 20
	loses_nothing
}

atf_test_case lagg_over cleanup
lagg_over_head()
{
	atf_set descr "A lagg over VLANs has traffic, under each protocol but lacp, and loses a VLAN that is destroyed"
}
lagg_over_body()
{
	local protocol

	over failover
	for protocol in roundrobin loadbalance broadcast; do
		both laggproto $protocol
		traffic
	done
	both laggproto failover
	atf_check $near ifconfig vlan0 destroy
	atf_check $far ifconfig vlan0 destroy
	atf_check -o not-match:'laggport: vlan0' -o match:'laggport: vlan1' $near ifconfig lagg0
	# Both laggs have another address now. The first one announced its address to a port that was
	# standing by.
	atf_check -o ignore $near arp -d -a
	atf_check -o ignore $far arp -d -a
	traffic
}
lagg_over_cleanup()
{
	lagg_cleanup
}

atf_test_case lacp_over cleanup
lacp_over_head()
{
	atf_set descr "LACP goes over VLANs too"
}
lacp_over_body()
{
	c_panics D-20
	over lacp
	[ $($near ifconfig lagg0 | grep -c 'flags=1c<ACTIVE,COLLECTING,DISTRIBUTING>') = 2 ] || atf_fail "not both are in service"
}
lacp_over_cleanup()
{
	lagg_cleanup
}

atf_test_case own_child cleanup
own_child_head()
{
	atf_set descr "A VLAN on a lagg cannot be a port of it, nor can one that stands on that"
}
own_child_body()
{
	require if_vlan
	lagg_init 1
	atf_check $near ifconfig lagg0 create $near_ports up
	atf_check $near ifconfig lagg0.5 create up
	atf_check $near ifconfig lagg0.5.6 create up
	c_fails D-25
	atf_check -s not-exit:0 -e match:'Invalid argument' $near ifconfig lagg0 laggport lagg0.5.6
	atf_check -s not-exit:0 -e match:'Invalid argument' $near ifconfig lagg0 laggport lagg0.5
	atf_check -o not-match:'laggport: lagg0' $near ifconfig lagg0
}
own_child_cleanup()
{
	lagg_cleanup
}

atf_test_case child_and_port cleanup
child_and_port_head()
{
	atf_set descr "A lagg has a VLAN for a port and another one on itself; MTU, groups and flags reach both"
}
child_and_port_body()
{
	require if_vlan
	lagg_init 2
	atf_check $near ifconfig vlan7 create vlan 7 vlandev $p1 up
	atf_check $far ifconfig vlan7 create vlan 7 vlandev $q1 up
	near_ports="laggport $p0 laggport vlan7" far_ports="laggport $q0 laggport vlan7"
	lagg_pair failover
	vlan_pair 5 lagg0
	within 10 reaches $far_vlan_ip
	both mtu 1400
	[ $(mtu "$near" vlan7) = 1400 ] || atf_fail "the port has not the lagg's MTU"
	atf_check $near ifconfig vlan5 promisc
	within 5 shows 'flags=.*PROMISC' $near ifconfig vlan7
	atf_check $near ifconfig vlan5 -promisc
	within 5 not shows 'flags=.*PROMISC' $near ifconfig vlan7
	# The other port replaces it, with a second tag outside the child's.
	cut 0
	within 10 reaches $far_vlan_ip
	atf_check $near ifconfig vlan7 destroy
	heal 0
	within 10 reaches $far_vlan_ip
}
child_and_port_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case on_lagg
	atf_add_test_case on_lagg_carrier
	atf_add_test_case on_lagg_mtu
	atf_add_test_case stacked
	atf_add_test_case lagg_over
	atf_add_test_case lacp_over
	atf_add_test_case own_child
	atf_add_test_case child_and_port
}
