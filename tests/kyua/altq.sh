#!/usr/libexec/atf-sh
# ALTQ, by pf(4), on a VLAN on a lagg and on a port: a lagg itself has no queue

. $(atf_get_srcdir)/lagg.subr

altq_init()
{
	kldload -n -q pf || atf_skip "This test requires pf"
	sysctl -q kern.features.altq >/dev/null || atf_skip "This test requires ALTQ"
	sysctl -q kern.features.altq.priq >/dev/null || atf_skip "This test requires ALTQ_PRIQ"
	atf_require_prog pfctl
}

# queue INTERFACE: one whose packets pfctl -vsq counts
queue()
{
	printf '%s\n' "altq on $1 priq bandwidth 100Mb queue { slow }" 'queue slow priq (default)' 'pass all queue slow' >rules
	atf_check -o ignore -e ignore $near pfctl -e -f $PWD/rules
}

through()
{
	$near pfctl -vsq | awk '/pkts:/ { print $3; exit }'
}

atf_test_case vlan cleanup
vlan_head()
{
	atf_set descr "What is sent on a VLAN on a lagg goes through its queue"
}
vlan_body()
{
	altq_init
	require if_vlan
	lagg_init 2
	lagg_pair failover
	atf_check $near ifconfig vlan5 create vlan 5 vlandev lagg0 198.51.100.1/24 up
	atf_check $far ifconfig vlan5 create vlan 5 vlandev lagg0 198.51.100.2/24 up
	within 10 reaches 198.51.100.2
	queue vlan5
	atf_check -o match:' 0.0% packet loss' $near ping -q -n -c 20 -i 0.02 198.51.100.2
	[ $(through) -ge 20 ] || atf_fail "not all has gone through the queue"
}
vlan_cleanup()
{
	jexec lagg_near pfctl -d
	lagg_cleanup
}

atf_test_case port cleanup
port_head()
{
	atf_set descr "What a lagg sends goes through the queue of its port"
}
port_body()
{
	altq_init
	lagg_init 2
	lagg_pair failover
	traffic
	queue $p0
	loses_nothing
	[ $(through) -ge 20 ] || atf_fail "not all has gone through the queue"
	# The far side changes to the remaining port first, to receive the announcement of the new address
	# there.
	cut 0
	traffic
	atf_check $near ifconfig lagg0 -laggport $p0
	traffic
}
port_cleanup()
{
	jexec lagg_near pfctl -d
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case vlan
	atf_add_test_case port
}
