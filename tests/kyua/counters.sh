#!/usr/libexec/atf-sh
# What a lagg counts, and what bpf(4) sees on it

. $(atf_get_srcdir)/lagg.subr

# leaf NAME: the value of our lagg's leaf; nothing if there is none
leaf()
{
	$near sysctl -n net.link.lagg.iface.lagg0.$1
}

atf_test_case sums cleanup
sums_head()
{
	atf_set descr "The lagg's counters are the sums of its ports', and do not go back when one leaves"
}
sums_body()
{
	local before name

	lagg_init 2
	lagg_pair roundrobin
	traffic
	atf_check -o ignore $near ping -q -n -c 100 -i 0.01 $far_ip
	for name in Ipkts Opkts; do
		before=$(counter "$near" lagg0 $name)
		[ $before -ge 100 ] && [ $(counter "$near" $p0 $name) -ge 45 ] && [ $(counter "$near" $p1 $name) -ge 45 ] ||
			atf_fail "$name of the lagg or of its ports is too small"
		[ $(($(counter "$near" $p0 $name) + $(counter "$near" $p1 $name) - before)) -le 20 ] ||
			atf_fail "$name of the lagg is not the sum of its ports'"
		eval "before_$name=$before"
	done
	atf_check $near ifconfig lagg0 -laggport $p0
	[ $(counter "$near" lagg0 Ipkts) -ge $before_Ipkts ] && [ $(counter "$near" lagg0 Opkts) -ge $before_Opkts ] ||
		atf_fail "the lagg's counters went back"
	# What a port has counted before it joins is not added to the lagg's counters.
	before=$(counter "$near" lagg0 Ipkts)
	atf_check $near ifconfig lagg0 laggport $p0
	[ $(($(counter "$near" lagg0 Ipkts) - before)) -lt 20 ] || atf_fail "the lagg counts what the port has counted before"
}
sums_cleanup()
{
	lagg_cleanup
}

atf_test_case once cleanup
once_head()
{
	atf_set descr "Each frame is counted once, and bpf(4) sees it once, on the lagg"
}
once_body()
{
	local before n

	lagg_init 2
	lagg_pair failover
	traffic
	$near tcpdump -n -l -i lagg0 'icmp[icmptype] == icmp-echo' >seen 2>said &
	echo $! >pids
	within 10 grep -q listening said
	before=$(counter "$near" lagg0 Ibytes)
	atf_check -o ignore $far ping -q -n -c 10 -i 0.1 -s 1000 $near_ip
	n=$(($(counter "$near" lagg0 Ibytes) - before))
	# 1042 bytes each, and little else
	[ $n -ge 10420 ] && [ $n -lt 12000 ] || atf_fail "$n bytes were counted"
	within 10 eval '[ $(grep -c "echo request" seen) -ge 10 ]'
	[ $(grep -c "echo request" seen) = 10 ] || atf_fail "bpf(4) has not seen 10 requests"
}
once_cleanup()
{
	lagg_cleanup
}

atf_test_case stats cleanup
stats_head()
{
	atf_set descr "What is dropped is counted by reason, for each lagg of the vnet"
}
stats_body()
{
	local before

	ours || atf_skip "C lagg has no such sysctl"
	lagg_init 2
	lagg_pair failover
	traffic
	[ "$(leaf protocol)" = failover ] || atf_fail "not lagg0's state"
	[ -z "$($far sysctl -n net.link.lagg.iface | grep $p0)" ] || atf_fail "another vnet shows it too"
	atf_check $near ifconfig lagg0 laggproto none
	before=$(leaf dropped.disabled)
	atf_check -s exit:2 -o ignore -e match:'Network is down' $near ping -q -n -c 5 -i 0.1 -W 100 $far_ip
	[ $(($(leaf dropped.disabled) - before)) -ge 5 ] || atf_fail "what none refuses is not counted"
	before=$(leaf port.$p0.dropped.not_accepted)
	atf_check -s exit:2 -o ignore $far ping -q -n -c 5 -i 0.1 -W 100 $near_ip
	[ $(($(leaf port.$p0.dropped.not_accepted) - before)) -ge 5 ] || atf_fail "what none does not take in is not counted"
	before=$(leaf left.dropped.not_accepted)
	atf_check $near ifconfig lagg0 -laggport $p0
	[ $(leaf left.dropped.not_accepted) -ge $((before + 5)) ] || atf_fail "what the port had not taken in is forgotten"
	[ -z "$(leaf port.$p0.dropped.not_accepted)" ] || atf_fail "a port that has left is shown"
}
stats_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case sums
	atf_add_test_case once
	atf_add_test_case stats
}
