#!/usr/libexec/atf-sh
# Laggs and ports that move between vnet jails, and jails that end with them

. $(atf_get_srcdir)/lagg.subr

third="jexec lagg_third"

# own JAIL INTERFACE MAC: checks that it is as it was before it joined a lagg
own()
{
	$1 ifconfig $2
	[ "$(mac "$1" $2) $(mtu "$1" $2)" = "$3 1500" ] && ! $1 ifconfig $2 | grep -q PROMISC
}

atf_test_case port_moves cleanup
port_moves_head()
{
	atf_set descr "A port that moves to another jail arrives as it was before it joined, and the lagg goes on without it"
}
port_moves_body()
{
	local first second

	lagg_init 2
	make_jail lagg_third
	first=$(mac "$near" $p0)
	second=$(mac "$near" $p1)
	lagg_pair failover
	both mtu 1400
	both promisc
	traffic
	within 5 shows 'flags=.*PROMISC' $near ifconfig $p1
	atf_check ifconfig $p1 -vnet lagg_near
	atf_check -o not-match:"laggport: $p1" $near ifconfig lagg0
	traffic
	c_fails F-10
	own "" $p1 $second || atf_fail "it is not as it was"
	atf_check ifconfig $p1 vnet lagg_third
	own "$third" $p1 $second || atf_fail "it is not as it was"
	atf_check ifconfig $p1 -vnet lagg_third
	atf_check ifconfig $p1 vnet lagg_near
	atf_check $near ifconfig $p1 up
	atf_check $near ifconfig lagg0 laggport $p1
	traffic
	# The primary too, and so all ports
	atf_check ifconfig $p0 -vnet lagg_near
	atf_check -o match:"laggport: $p1 flags=5<MASTER,ACTIVE>" $near ifconfig lagg0
	[ "$(mac "$near" lagg0)" = $second ] || atf_fail "not the next port's address"
	own "" $p0 $first || atf_fail "it is not as it was"
	atf_check ifconfig $p0 vnet lagg_near
}
port_moves_cleanup()
{
	lagg_cleanup
}

atf_test_case jail_ends cleanup
jail_ends_head()
{
	atf_set descr "A jail ends with its lagg under traffic, and the ports come home as they were"
}
jail_ends_body()
{
	local address protocol

	for protocol in failover lacp; do
		lagg_init 1
		address=$(mac "$near" $p0)
		lagg_pair $protocol
		both mtu 1400
		traffic 20
		flood
		c_fails F-12
		atf_check jail -r lagg_near
		within 30 own "" $p0 $address
		kill $(cat pids)
		atf_check jail -r lagg_far
		within 30 ifconfig $q0
		atf_check ifconfig $p0 destroy
		rm jails links pids
	done
}
jail_ends_cleanup()
{
	lagg_cleanup
}

# Moves a lagg of $near to a third jail, while its ports stay.
move_lagg()
{
	c_panics "D-18, F-31"
	lagg_init 2
	make_jail lagg_third
	first=$(mac "$near" $p0)
	second=$(mac "$near" $p1)
	atf_check $near ifconfig lagg777 create $near_ports up
	atf_check $far ifconfig lagg0 create $far_ports $far_ip/24 up
	atf_check ifconfig lagg777 -vnet lagg_near
	atf_check ifconfig lagg777 vnet lagg_third
	atf_check $third ifconfig lagg777 $near_ip/24 up
	within 10 $third ping -q -n -c 1 -W 1000 $far_ip
	within 10 reaches_back
}

atf_test_case lagg_moves cleanup
lagg_moves_head()
{
	atf_set descr "A lagg that moves to a jail takes its traffic along, and leaves its ports; it comes back"
}
lagg_moves_body()
{
	local protocol

	move_lagg
	atf_check -o match:"laggport: $p0 " $third ifconfig lagg777
	atf_check -o match:'flags=.*<UP,' $near ifconfig $p0
	for protocol in roundrobin loadbalance broadcast lacp failover; do
		atf_check $third ifconfig lagg777 laggproto $protocol
		atf_check $far ifconfig lagg0 laggproto $protocol
		within 20 $third ping -q -n -c 1 -W 1000 $far_ip
	done
	atf_check $third ifconfig lagg777 mtu 1400
	[ $(mtu "$near" $p1) = 1400 ] || atf_fail "the port has not the lagg's MTU"
	# A port of another vnet cannot be named.
	atf_check -s not-exit:0 -e match:'Invalid argument' $third ifconfig lagg777 -laggport $p1
	atf_check ifconfig lagg777 -vnet lagg_third
	atf_check ifconfig lagg777 vnet lagg_near
	atf_check $near ifconfig lagg777 $near_ip/24 mtu 1500 up
	traffic
	atf_check $near ifconfig lagg777 -laggport $p1
	own "$near" $p1 $second || atf_fail "it is not as it was"
}
lagg_moves_cleanup()
{
	lagg_cleanup
}

atf_test_case destroyed_there cleanup
destroyed_there_head()
{
	atf_set descr "The jail's root destroys a lagg that came from elsewhere, under traffic"
}
destroyed_there_body()
{
	move_lagg
	in_background $third ping -q -n -f $far_ip
	in_background $far ping -q -n -f $near_ip
	atf_check $third ifconfig lagg777 destroy
	own "$near" $p0 $first || atf_fail "the port is not as it was"
	own "$near" $p1 $second || atf_fail "the port is not as it was"
	atf_check $near ifconfig lagg0 create $near_ports $near_ip/24 up
	traffic
}
destroyed_there_cleanup()
{
	lagg_cleanup
}

atf_test_case ended_there cleanup
ended_there_head()
{
	atf_set descr "A lagg that came from elsewhere goes home when its jail ends, with its ports"
}
ended_there_body()
{
	move_lagg
	in_background $far ping -q -n -f $near_ip
	atf_check jail -r lagg_third
	within 30 shows "laggport: $p0 " $near ifconfig lagg777
	atf_check $near ifconfig lagg777 $near_ip/24 up
	traffic
}
ended_there_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case port_moves
	atf_add_test_case jail_ends
	atf_add_test_case lagg_moves
	atf_add_test_case destroyed_there
	atf_add_test_case ended_there
}
