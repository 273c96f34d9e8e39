#!/usr/libexec/atf-sh
# Multicast groups of a lagg, and what is sent to them

. $(atf_get_srcdir)/lagg.subr

in_group()
{
	$near netstat -I $1 -ian | tee /dev/stderr | grep -q 33:33:ff:12:34:56
}

atf_test_case groups cleanup
groups_head()
{
	atf_set descr "Ports are in the lagg's groups, those that join later too, until they leave"
}
groups_body()
{
	lagg_init 2
	atf_check $near ifconfig lagg0 create laggport $p0 up
	atf_check $near ifconfig lagg0 inet6 2001:db8::12:3456/64
	within 10 in_group $p0
	atf_check $near ifconfig lagg0 laggport $p1
	within 10 in_group $p1
	atf_check $near ifconfig lagg0 -laggport $p0
	within 10 not in_group $p0
	atf_check $near ifconfig lagg0 inet6 2001:db8::12:3456/64 -alias
	within 10 not in_group $p1
	atf_check $near ifconfig lagg0 laggport $p0
	atf_check $near ifconfig lagg0 inet6 2001:db8::12:3456/64
	within 10 in_group $p0
	atf_check $near ifconfig lagg0 destroy
	within 10 not in_group $p0
	within 10 not in_group $p1
}
groups_cleanup()
{
	lagg_cleanup
}

atf_test_case groups_many cleanup
groups_many_head()
{
	atf_set descr "A port is in all of many groups, and in none of them when it has left"
}
groups_many_body()
{
	local n

	lagg_init 2
	atf_check $near ifconfig lagg0 create $near_ports up
	for n in $(jot 40 1000); do
		echo "ifconfig lagg0 inet6 2001:db8::$n/64 || exit 1" >>addresses
	done
	atf_check $near sh $PWD/addresses
	groups()
	{
		[ $($near netstat -I $1 -ian | grep -c '33:33:ff:00:1[0-9]') = $2 ]
	}
	within 10 groups $p0 40
	within 10 groups $p1 40
	atf_check $near ifconfig lagg0 -laggport $p1
	within 10 groups $p1 0
	within 10 groups $p0 40
}
groups_many_cleanup()
{
	lagg_cleanup
}

atf_test_case traffic_ipv4 cleanup
traffic_ipv4_head()
{
	atf_set descr "What is sent to all hosts of the link is answered, under each protocol"
}
traffic_ipv4_body()
{
	local protocol

	lagg_init 2
	lagg_pair failover
	atf_check -o ignore $far sysctl net.inet.icmp.bmcastecho=1
	for protocol in failover roundrobin loadbalance broadcast lacp; do
		both laggproto $protocol
		within 20 $near ping -q -n -c 1 -W 1000 -I $near_ip 224.0.0.1
		within 10 $near ping -q -n -c 1 -W 1000 192.0.2.255
	done
}
traffic_ipv4_cleanup()
{
	lagg_cleanup
}

atf_test_case traffic_ipv6 cleanup
traffic_ipv6_head()
{
	atf_set descr "What is sent to all nodes of the link is answered, by the link-local address"
}
traffic_ipv6_body()
{
	local protocol

	lagg_init 2
	lagg_pair failover
	both inet6 -ifdisabled -auto_linklocal
	atf_check $near ifconfig lagg0 inet6 fe80::1/64
	atf_check $far ifconfig lagg0 inet6 fe80::2/64
	for protocol in failover roundrobin loadbalance broadcast lacp; do
		both laggproto $protocol
		within 20 shows 'from fe80::2%lagg0' $near ping -6 -n -c 2 -i 0.2 -W 1000 ff02::1%lagg0
	done
}
traffic_ipv6_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case groups
	atf_add_test_case groups_many
	atf_add_test_case traffic_ipv4
	atf_add_test_case traffic_ipv6
}
