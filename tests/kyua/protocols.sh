#!/usr/libexec/atf-sh
# On which ports each protocol sends, and what it accepts

. $(atf_get_srcdir)/lagg.subr

# spread COMMAND...: sets $first and $second to how many packets the two ports of $near send while
# it runs
spread()
{
	first=$(counter "$near" $p0 Opkts)
	second=$(counter "$near" $p1 Opkts)
	atf_check -o ignore "$@"
	first=$(($(counter "$near" $p0 Opkts) - first))
	second=$(($(counter "$near" $p1 Opkts) - second))
	echo "$first on the one port, $second on the other"
}

# Adds addresses to $far, for as many flows
many_flows()
{
	local n

	for n in $(jot 24 100); do
		atf_check $far ifconfig lagg0 192.0.2.$n/32 alias
		echo "ping -q -n -c 2 -i 0.02 192.0.2.$n || exit 1" >>flows
	done
}

atf_test_case failover cleanup
failover_head()
{
	atf_set descr "failover sends on the primary port, on another one while that is down, and on it again"
}
failover_body()
{
	lagg_init 2
	lagg_pair failover
	traffic
	loses_nothing
	atf_check -o match:"laggport: $p0 flags=5<MASTER,ACTIVE>" -o match:"laggport: $p1 flags=0<>" $near ifconfig lagg0
	spread $near ping -q -n -c 20 -i 0.02 $far_ip
	[ $first -ge 20 ] && [ $second -lt 10 ] || atf_fail "the primary port did not send all"
	cut 0
	traffic
	atf_check -o match:"laggport: $p0 flags=1<MASTER>" -o match:"laggport: $p1 flags=4<ACTIVE>" $near ifconfig lagg0
	heal 0
	within 10 shows "laggport: $p0 flags=5<MASTER,ACTIVE>" $near ifconfig lagg0
	loses_nothing
}
failover_cleanup()
{
	lagg_cleanup
}

atf_test_case failover_standby cleanup
failover_standby_head()
{
	atf_set descr "failover takes nothing in from a port that waits, but with net.link.lagg.failover_rx_all"
}
failover_standby_body()
{
	local before

	lagg_init 2
	atf_check $near ifconfig lagg0 create laggproto failover $near_ports $near_ip/24 up
	atf_check $far ifconfig $q1 $far_ip/24
	atf_check -o ignore $far arp -s $near_ip $(mac "$near" lagg0)
	before=$(answers)
	atf_check -s exit:2 -o match:'20 packets transmitted' $far ping -q -n -c 20 -i 0.02 -W 100 $near_ip
	[ $(($(answers) - before)) -lt 10 ] || atf_fail "what the waiting port got was taken in"
	atf_check -o ignore $near sysctl net.link.lagg.failover_rx_all=1
	before=$(answers)
	atf_check -s exit:2 -o match:'20 packets transmitted' $far ping -q -n -c 20 -i 0.02 -W 100 $near_ip
	[ $(($(answers) - before)) -ge 20 ] || atf_fail "what the waiting port got was not taken in"
}
failover_standby_cleanup()
{
	lagg_cleanup
}

atf_test_case roundrobin cleanup
roundrobin_head()
{
	atf_set descr "roundrobin sends half on each of two ports, by single packets and by five, and all on the one that is left"
}
roundrobin_body()
{
	local limit

	lagg_init 2
	lagg_pair roundrobin
	traffic
	for limit in 1 5; do
		atf_check $near ifconfig lagg0 rr_limit $limit
		spread $near ping -q -n -c 100 -i 0.01 $far_ip
		# To within the limit for each CPU, and a few packets of others
		[ $((first + second)) -ge 100 ] && [ $((first - second)) -le $((limit * 4 + 4)) ] &&
			[ $((second - first)) -le $((limit * 4 + 4)) ] || atf_fail "not half on each port"
	done
	cut 0
	traffic
	loses_nothing
	heal 0
	loses_nothing
}
roundrobin_cleanup()
{
	lagg_cleanup
}

atf_test_case loadbalance cleanup
loadbalance_head()
{
	atf_set descr "loadbalance sends a flow on one port and many flows on all, and lagghash says what a flow is"
}
loadbalance_body()
{
	lagg_init 2
	lagg_pair loadbalance
	traffic
	spread $near ping -q -n -c 40 -i 0.02 $far_ip
	[ $first -ge 40 -a $second -lt 10 ] || [ $second -ge 40 -a $first -lt 10 ] || atf_fail "a flow is not on one port"
	many_flows
	spread $near sh $PWD/flows
	# 24 flows of 2 packets each. Three or fewer on one port happen once in 10,000 times.
	[ $first -gt 6 ] && [ $second -gt 6 ] || atf_fail "the flows are not on both ports"
	atf_check $near ifconfig lagg0 lagghash l2
	spread $near sh $PWD/flows
	[ $first -ge 48 -a $second -lt 10 ] || [ $second -ge 48 -a $first -lt 10 ] || atf_fail "by l2 it is not one flow"
	atf_check $near ifconfig lagg0 lagghash l2,l3,l4
	cut 0
	traffic
	atf_check -o ignore $near sh $PWD/flows
	heal 0
	within 10 shows "laggport: $p0 flags=.*ACTIVE" $near ifconfig lagg0
	spread $near sh $PWD/flows
	[ $first -gt 6 ] && [ $second -gt 6 ] || atf_fail "the flows are not on both ports again"
}
loadbalance_cleanup()
{
	lagg_cleanup
}

atf_test_case broadcast cleanup
broadcast_head()
{
	atf_set descr "broadcast sends a copy on each port that is up, and takes all of them in"
}
broadcast_body()
{
	lagg_init 2
	lagg_pair broadcast
	traffic
	# A reply to each copy of the request, and copies of that
	atf_check -o match:'DUP!' $near ping -n -c 5 -i 0.2 $far_ip
	spread $near ping -q -n -c 20 -i 0.02 $far_ip
	[ $first -ge 20 ] && [ $second -ge 20 ] || atf_fail "a port has not sent its copies"
	cut 0
	traffic
	atf_check -o not-match:'DUP!' $near ping -n -c 5 -i 0.2 $far_ip
	heal 0
	within 10 shows "laggport: $p0 flags=.*ACTIVE" $near ifconfig lagg0
	atf_check -o match:'DUP!' $near ping -n -c 5 -i 0.2 $far_ip
}
broadcast_cleanup()
{
	lagg_cleanup
}

atf_test_case none cleanup
none_head()
{
	atf_set descr "none sends nothing, accepts nothing, and tells senders so"
}
none_body()
{
	local before

	lagg_init 2
	lagg_pair failover
	traffic
	atf_check $near ifconfig lagg0 laggproto none
	before=$(counter "$near" lagg0 Oerrs)
	atf_check -s exit:2 -o ignore -e match:'Network is down' $near ping -q -n -c 1 -W 500 $far_ip
	[ $(counter "$near" lagg0 Oerrs) -gt $before ] || atf_fail "no output error was counted"
	before=$(answers)
	atf_check -s exit:2 -o ignore $far ping -q -n -c 1 -W 500 $near_ip
	[ $(answers) = $before ] || atf_fail "none has taken something in"
	atf_check $near ifconfig lagg0 laggproto failover
	traffic
}
none_cleanup()
{
	lagg_cleanup
}

atf_test_case no_ports cleanup
no_ports_head()
{
	atf_set descr "Without ports, and with all ports down, senders get an error, whatever the protocol"
}
no_ports_body()
{
	local protocol

	lagg_init 2
	atf_check $near ifconfig lagg0 create $near_ip/24 up
	atf_check -o ignore $near arp -s $far_ip 02:00:00:00:00:01
	for protocol in failover roundrobin loadbalance broadcast lacp; do
		atf_check $near ifconfig lagg0 laggproto $protocol
		atf_check -s exit:2 -o ignore -e match:'Device not configured' $near ping -q -n -c 1 -W 100 $far_ip
	done
	atf_check $near ifconfig lagg0 laggproto failover $near_ports
	cut 0
	cut 1
	for protocol in failover roundrobin loadbalance broadcast; do
		atf_check $near ifconfig lagg0 laggproto $protocol
		atf_check -s exit:2 -o ignore -e match:'Network is down|No such file' $near ping -q -n -c 1 -W 100 $far_ip
	done
}
no_ports_cleanup()
{
	lagg_cleanup
}

atf_test_case change cleanup
change_head()
{
	atf_set descr "After each change of the protocol there is traffic"
}
change_body()
{
	local protocol

	lagg_init 2
	lagg_pair failover
	for protocol in roundrobin loadbalance lacp broadcast none failover lacp roundrobin; do
		both laggproto $protocol
		atf_check -o match:"laggproto $protocol" $near ifconfig lagg0
		[ $protocol = none ] || traffic 20
	done
}
change_cleanup()
{
	lagg_cleanup
}

atf_test_case lacp_to_failover cleanup
lacp_to_failover_head()
{
	atf_set descr "A lagg without carrier under lacp has it at once under failover"
}
lacp_to_failover_body()
{
	lagg_init 1
	atf_check $near ifconfig lagg13 create laggproto lacp $near_ports $near_ip/24 up
	c_fails F-13
	within 10 link_is DOWN lagg13
	atf_check $near ifconfig lagg13 laggproto failover
	within 5 link_is UP lagg13
	atf_check $far ifconfig $q0 $far_ip/24
	traffic
}
lacp_to_failover_cleanup()
{
	lagg_cleanup
}

atf_test_case failover_to_lacp cleanup
failover_to_lacp_head()
{
	atf_set descr "A lagg with carrier under failover has none under lacp until that has a partner"
}
failover_to_lacp_body()
{
	lagg_init 1
	atf_check $near ifconfig lagg13 create laggproto failover $near_ports up
	within 10 link_is UP lagg13
	c_fails F-13
	atf_check $near ifconfig lagg13 laggproto lacp
	within 5 link_is DOWN lagg13
}
failover_to_lacp_cleanup()
{
	lagg_cleanup
}

atf_test_case tcp cleanup
tcp_head()
{
	atf_set descr "A file arrives whole by TCP under each protocol"
}
tcp_body()
{
	local protocol

	lagg_init 2
	lagg_pair failover
	dd if=/dev/urandom of=sent bs=64k count=16 status=none
	send()
	{
		$near nc -N -w 20 $far_ip 5000 <sent
	}
	for protocol in failover roundrobin loadbalance broadcast lacp; do
		both laggproto $protocol
		traffic 20
		$far nc -l $far_ip 5000 >got &
		within 20 send
		wait $!
		atf_check cmp sent got
	done
}
tcp_cleanup()
{
	lagg_cleanup
}

atf_test_case ipv6 cleanup
ipv6_head()
{
	atf_set descr "IPv6 under each protocol: neighbours are found"
}
ipv6_body()
{
	local protocol

	lagg_init 2
	lagg_pair failover
	atf_check $near ifconfig lagg0 inet6 2001:db8::1/64
	atf_check $far ifconfig lagg0 inet6 2001:db8::2/64
	for protocol in failover roundrobin loadbalance broadcast lacp; do
		both laggproto $protocol
		atf_check -o ignore $near ndp -c
		within 20 $near ping -6 -q -n -c 1 -W 1000 2001:db8::2
	done
}
ipv6_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case failover
	atf_add_test_case failover_standby
	atf_add_test_case roundrobin
	atf_add_test_case loadbalance
	atf_add_test_case broadcast
	atf_add_test_case none
	atf_add_test_case no_ports
	atf_add_test_case change
	atf_add_test_case lacp_to_failover
	atf_add_test_case failover_to_lacp
	atf_add_test_case tcp
	atf_add_test_case ipv6
}
