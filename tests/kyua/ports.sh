#!/usr/libexec/atf-sh
# What happens to an interface that joins a lagg, and to one that leaves

. $(atf_get_srcdir)/lagg.subr

atf_test_case address cleanup
address_head()
{
	atf_set descr "The first port gives its address, all have it, and each gets its own back"
}
address_body()
{
	local first second

	lagg_init 2
	first=$(mac "$near" $p0)
	second=$(mac "$near" $p1)
	atf_check $near ifconfig lagg0 create laggport $p0 laggport $p1 up
	[ "$(mac "$near" lagg0) $(mac "$near" $p1)" = "$first $first" ] || atf_fail "not the first port's address"
	atf_check $near ifconfig lagg0 -laggport $p0
	[ "$(mac "$near" lagg0) $(mac "$near" $p1)" = "$second $second" ] || atf_fail "not the next port's address"
	[ "$(mac "$near" $p0)" = $first ] || atf_fail "the port that left has not its own address"
	atf_check $near ifconfig lagg0 laggport $p0
	[ "$(mac "$near" $p0)" = $second ] || atf_fail "the port has not the lagg's address"
	atf_check $near ifconfig lagg0 ether 02:00:00:00:00:77
	atf_check -o match:'ether 02:00:00:00:00:77' $near ifconfig $p0
	atf_check -o match:'ether 02:00:00:00:00:77' $near ifconfig $p1
	atf_check $near ifconfig lagg0 destroy
	[ "$(mac "$near" $p0) $(mac "$near" $p1)" = "$first $second" ] || atf_fail "the ports have not their own addresses"
}
address_cleanup()
{
	lagg_cleanup
}

atf_test_case ipv6 cleanup
ipv6_head()
{
	atf_set descr "A port loses its IPv6 addresses, which would answer beside the lagg's"
}
ipv6_body()
{
	lagg_init 1
	atf_check $near ifconfig $p0 inet6 -ifdisabled auto_linklocal
	atf_check $near ifconfig $p0 inet6 fe80::1%$p0/64
	atf_check -o match:'inet6 fe80:' $near ifconfig $p0
	atf_check $near ifconfig lagg0 create laggport $p0
	atf_check -o not-match:inet6 $near ifconfig $p0
}
ipv6_cleanup()
{
	lagg_cleanup
}

atf_test_case ipv6_refused cleanup
ipv6_refused_head()
{
	atf_set descr "An interface that is refused keeps its IPv6 addresses"
}
ipv6_refused_body()
{
	lagg_init 1
	atf_check $near ifconfig lagg0 create
	atf_check $near ifconfig lagg0 inet6 -ifdisabled auto_linklocal
	atf_check $near ifconfig lagg0 inet6 fe80::1%lagg0/64
	atf_check -s not-exit:0 -e match:'Invalid argument' $near ifconfig lagg0 laggport lagg0
	c_fails F-11
	atf_check -o match:'inet6 fe80:' $near ifconfig lagg0
}
ipv6_refused_cleanup()
{
	lagg_cleanup
}

atf_test_case updown cleanup
updown_head()
{
	atf_set descr "The lagg takes its ports up and down, and leaves them as they are when it is destroyed"
}
updown_body()
{
	lagg_init 2
	atf_check $near ifconfig $p1 down
	atf_check $near ifconfig lagg0 create $near_ports
	atf_check -o not-match:'flags=.*<UP,' $near ifconfig $p1
	atf_check $near ifconfig lagg0 up
	atf_check -o match:'flags=.*<UP,' $near ifconfig $p1
	atf_check $near ifconfig lagg0 down
	atf_check -o not-match:'flags=.*<UP,' $near ifconfig $p0
	atf_check $near ifconfig lagg0 up
	c_fails F-33
	atf_check $near ifconfig lagg0 destroy
	atf_check -o match:'flags=.*<UP,' $near ifconfig $p0
	atf_check -o match:'flags=.*<UP,' $near ifconfig $p1
}
updown_cleanup()
{
	lagg_cleanup
}

atf_test_case departure cleanup
departure_head()
{
	atf_set descr "A port that is destroyed leaves, and traffic goes on; one that is renamed stays"
}
departure_body()
{
	local extra

	lagg_init 1
	make_link lagg_near lagg_far
	extra=${link}a
	lagg_pair failover
	atf_check $near ifconfig lagg0 laggport $extra
	traffic
	atf_check -o inline:'port1\n' $near ifconfig $extra name port1
	atf_check -o match:'laggport: port1 ' $near ifconfig lagg0
	atf_check $near ifconfig port1 destroy
	atf_check -o not-match:'laggport: port1' -o match:"laggport: $p0 " $near ifconfig lagg0
	traffic
}
departure_cleanup()
{
	lagg_cleanup
}

atf_test_case capabilities cleanup
capabilities_head()
{
	atf_set descr "The lagg can do what all ports can; what only one could not do comes back when that leaves"
}
capabilities_body()
{
	lagg_init 2
	atf_check -o match:'options=.*TXCSUM' $near ifconfig $p0
	atf_check $near ifconfig $p1 -txcsum -txcsum6
	atf_check $near ifconfig lagg0 create laggport $p0 up
	atf_check -o match:'options=.*TXCSUM' $near ifconfig lagg0
	atf_check $near ifconfig lagg0 laggport $p1
	atf_check -o not-match:'options=.*TXCSUM' $near ifconfig lagg0
	atf_check -o not-match:'options=.*TXCSUM' $near ifconfig $p0
	c_fails F-7
	atf_check $near ifconfig lagg0 -laggport $p1
	atf_check -o match:'options=.*TXCSUM' $near ifconfig lagg0
	atf_check -o match:'options=.*TXCSUM' $near ifconfig $p0
	atf_check -o not-match:'options=.*TXCSUM' $near ifconfig $p1
	# A request to the lagg is made to its ports.
	atf_check $near ifconfig lagg0 -txcsum -txcsum6
	atf_check -o not-match:'options=.*TXCSUM' $near ifconfig $p0
}
capabilities_cleanup()
{
	lagg_cleanup
}

atf_test_case promisc cleanup
promisc_head()
{
	atf_set descr "Ports are promiscuous while the lagg is, those that join meanwhile too"
}
promisc_body()
{
	lagg_init 2
	atf_check $near ifconfig lagg0 create laggport $p0 promisc up
	within 5 shows 'flags=.*PROMISC' $near ifconfig $p0
	atf_check $near ifconfig lagg0 laggport $p1
	within 5 shows 'flags=.*PROMISC' $near ifconfig $p1
	atf_check $near ifconfig lagg0 -laggport $p0
	within 5 not shows 'flags=.*PROMISC' $near ifconfig $p0
	atf_check $near ifconfig lagg0 -promisc
	within 5 not shows 'flags=.*PROMISC' $near ifconfig $p1
}
promisc_cleanup()
{
	lagg_cleanup
}

atf_test_case own_output cleanup
own_output_head()
{
	atf_set descr "The host sends nothing on a port past the lagg"
}
own_output_body()
{
	lagg_init 1
	atf_check $near ifconfig lagg0 create $near_ports up
	atf_check $near ifconfig $p0 $near_ip/24
	atf_check $far ifconfig $q0 $far_ip/24
	atf_check -o ignore $near arp -s $far_ip $(mac "$far" $q0)
	atf_check -s exit:2 -o ignore -e match:'Network is down' $near ping -q -n -c 1 -W 100 $far_ip
	atf_check $near ifconfig lagg0 -laggport $p0
	traffic
}
own_output_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case address
	atf_add_test_case ipv6
	atf_add_test_case ipv6_refused
	atf_add_test_case updown
	atf_add_test_case departure
	atf_add_test_case capabilities
	atf_add_test_case promisc
	atf_add_test_case own_output
}
