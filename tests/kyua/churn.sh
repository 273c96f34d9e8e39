#!/usr/libexec/atf-sh
# Changes of all kinds under traffic at full rate in both directions, each for the number of seconds
# in the variable `seconds` (10)

. $(atf_get_srcdir)/lagg.subr

# for_a_while COMMAND...: runs it repeatedly
for_a_while()
{
	local end n

	end=$(($(date +%s) + $(atf_config_get seconds 10))) n=0
	while [ $(date +%s) -lt $end ]; do
		"$@"
		n=$((n + 1))
	done
	echo "$n rounds of $*"
}

# begin PROTOCOL: a lagg on both sides, and traffic
begin()
{
	lagg_init 2
	lagg_pair $1
	traffic 20
	flood
}

atf_test_case ports cleanup
ports_head()
{
	atf_set descr "Ports come and go, down to none, under each protocol"
}
ports_body()
{
	local protocol

	c_panics "D-1, D-3, D-4, D-5, D-6"
	begin failover
	round()
	{
		atf_check $near ifconfig lagg0 -laggport $p0 laggport $p0
		atf_check $near ifconfig lagg0 -laggport $p1 -laggport $p0 laggport $p0 laggport $p1
	}
	for protocol in failover roundrobin loadbalance broadcast lacp; do
		both laggproto $protocol
		for_a_while round
	done
	traffic 20
}
ports_cleanup()
{
	lagg_cleanup
}

atf_test_case protocols cleanup
protocols_head()
{
	atf_set descr "The protocol goes round all six"
}
protocols_body()
{
	c_panics "D-2"
	begin failover
	round()
	{
		local protocol

		for protocol in roundrobin loadbalance lacp broadcast none failover; do
			both laggproto $protocol
		done
	}
	for_a_while round
	traffic 20
}
protocols_cleanup()
{
	lagg_cleanup
}

atf_test_case lives cleanup
lives_head()
{
	atf_set descr "Laggs are made and destroyed"
}
lives_body()
{
	c_panics "D-2, D-12"
	begin failover
	round()
	{
		atf_check $near ifconfig lagg0 destroy
		atf_check $near ifconfig lagg0 create laggproto $1 $near_ports $near_ip/24 up
	}
	for_a_while round roundrobin
	for_a_while round lacp
	both laggproto failover
	traffic 20
}
lives_cleanup()
{
	lagg_cleanup
}

atf_test_case departures cleanup
departures_head()
{
	atf_set descr "Ports are destroyed, made and added"
}
departures_body()
{
	c_panics "D-1, D-5, D-9"
	begin roundrobin
	round()
	{
		make_link lagg_near lagg_far
		atf_check $near ifconfig lagg0 laggport ${link}a
		atf_check $far ifconfig lagg0 laggport ${link}b
		atf_check $near ifconfig ${link}a destroy
		atf_check -o not-match:${link}a $near ifconfig lagg0
	}
	for_a_while round
	traffic 20
}
departures_cleanup()
{
	lagg_cleanup
}

atf_test_case settings cleanup
settings_head()
{
	atf_set descr "MTU, address, flags, options and capabilities change, and are looked at"
}
settings_body()
{
	c_panics "D-7, D-8"
	begin loadbalance
	round()
	{
		atf_check $near ifconfig lagg0 mtu 1400 promisc lagghash l3 use_flowid -txcsum
		atf_check -o ignore $near ifconfig -v lagg0
		atf_check $near ifconfig lagg0 mtu 1500 -promisc lagghash l2,l3,l4 -use_flowid txcsum
		atf_check $near ifconfig lagg0 down
		atf_check $near ifconfig lagg0 ether 02:00:00:00:00:77 up
		atf_check -o ignore $near netstat -I lagg0
	}
	for_a_while round
	both laggproto lacp
	for_a_while round
	traffic 20
}
settings_cleanup()
{
	lagg_cleanup
}

atf_test_case links cleanup
links_head()
{
	atf_set descr "LACP's links go down and come back"
}
links_body()
{
	c_panics "D-3, D-7, D-10"
	begin lacp
	round()
	{
		cut 0
		heal 0
		cut 1
		heal 1
	}
	for_a_while round
	traffic 20
}
links_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case ports
	atf_add_test_case protocols
	atf_add_test_case lives
	atf_add_test_case departures
	atf_add_test_case settings
	atf_add_test_case links
}
