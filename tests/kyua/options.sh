#!/usr/libexec/atf-sh
# What ifconfig and sysctl can set on a lagg, and what is refused with which error

. $(atf_get_srcdir)/lagg.subr

# refused WORDS COMMAND...: the command fails with this error
refused()
{
	local words

	words=$1
	shift
	atf_check -s not-exit:0 -o ignore -e match:"$words" "$@"
}

atf_test_case create cleanup
create_head()
{
	atf_set descr "Laggs are created by name or by the next free unit, and destroyed"
}
create_body()
{
	lagg_init 0
	atf_check $near ifconfig lagg0 create
	refused 'already exists' $near ifconfig lagg0 create
	atf_check -o inline:'lagg1\n' $near ifconfig lagg create
	refused 'Invalid argument' $near ifconfig lagg01 create
	refused 'Invalid argument' $near ifconfig lagg0x create
	atf_check -o match:'laggproto failover lagghash l2,l3,l4' $near ifconfig lagg0
	atf_check -o match:'groups:.* lagg' $near ifconfig lagg0
	atf_check $near ifconfig lagg0 destroy
	refused 'does not exist|not configured' $near ifconfig lagg0 destroy
	atf_check -o inline:'lagg0\n' $near ifconfig lagg create
	# Each vnet has its own.
	atf_check $far ifconfig lagg0 create
}
create_cleanup()
{
	lagg_cleanup
}

atf_test_case ports cleanup
ports_head()
{
	atf_set descr "What cannot be a port is refused, each for its own reason"
}
ports_body()
{
	lagg_init 2
	atf_check $near ifconfig lagg0 create laggport $p0
	atf_check $near ifconfig lagg1 create
	# ifconfig(8) does not report that it is a port already.
	atf_check $near ifconfig lagg0 laggport $p0
	refused 'busy' $near ifconfig lagg1 laggport $p0
	refused 'Invalid argument' $near ifconfig lagg0 laggport nosuch0
	refused 'Invalid argument' $near ifconfig lagg0 laggport lagg0
	refused 'Invalid argument' $near ifconfig lagg0 laggport lagg1
	refused 'Protocol not supported' $near ifconfig lagg0 laggport lo0
	refused 'Invalid argument' $near ifconfig lagg0 -laggport nosuch0
	refused 'No such file' $near ifconfig lagg0 -laggport $p1
	# Interfaces that were refused are not ports.
	atf_check -o match:"laggport: $p0 " -o not-match:"laggport: ($p1|lagg|lo0)" $near ifconfig lagg0
	atf_check -o not-match:laggport $near ifconfig lagg1
	atf_check $near ifconfig lagg0 -laggport $p0
	atf_check $near ifconfig lagg1 laggport $p0
}
ports_cleanup()
{
	lagg_cleanup
}

atf_test_case many_ports cleanup
many_ports_head()
{
	atf_set descr "There can be 32 ports, not 33"
}
many_ports_body()
{
	local n

	require if_vlan
	lagg_init 1
	atf_check $near ifconfig lagg0 create
	for n in $(jot 33); do
		echo "ifconfig vlan$n create vlan $n vlandev $p0 || exit 1" >>vlans
		[ $n = 33 ] || echo "ifconfig lagg0 laggport vlan$n || exit 1" >>vlans
	done
	atf_check $near sh $PWD/vlans
	[ $($near ifconfig lagg0 | grep -c laggport:) = 32 ] || atf_fail "there are not 32 ports"
	refused 'No space left' $near ifconfig lagg0 laggport vlan33
	atf_check $near ifconfig lagg0 -laggport vlan7 laggport vlan33
	for n in roundrobin loadbalance broadcast lacp none failover; do
		atf_check $near ifconfig lagg0 laggproto $n
		[ $($near ifconfig lagg0 | grep -c laggport:) = 32 ] || atf_fail "there are not 32 ports with $n"
	done
	atf_check $near ifconfig lagg0 destroy
}
many_ports_cleanup()
{
	lagg_cleanup
}

atf_test_case protocols cleanup
protocols_head()
{
	atf_set descr "Each protocol can be chosen, and shown"
}
protocols_body()
{
	local protocol

	lagg_init 1
	atf_check $near ifconfig lagg0 create $near_ports up
	for protocol in failover lacp loadbalance roundrobin broadcast none; do
		atf_check $near ifconfig lagg0 laggproto $protocol
		atf_check -o match:"laggproto $protocol " -o match:"laggport: $p0 " $near ifconfig lagg0
	done
	atf_check $near ifconfig lagg0 laggproto default
	atf_check -o match:'laggproto failover ' $near ifconfig lagg0
	refused 'Invalid aggregation protocol' $near ifconfig lagg0 laggproto nosuch
}
protocols_cleanup()
{
	lagg_cleanup
}

atf_test_case lagghash cleanup
lagghash_head()
{
	atf_set descr "lagghash takes any of l2, l3 and l4"
}
lagghash_body()
{
	local hash

	lagg_init 1
	atf_check $near ifconfig lagg0 create laggproto loadbalance $near_ports up
	for hash in l2 l3 l4 l2,l3 l2,l4 l3,l4 l2,l3,l4; do
		atf_check $near ifconfig lagg0 lagghash $hash
		atf_check -o match:"lagghash $hash\$" $near ifconfig lagg0
	done
	refused 'lagghash' $near ifconfig lagg0 lagghash l5
}
lagghash_cleanup()
{
	lagg_cleanup
}

atf_test_case flowid cleanup
flowid_head()
{
	atf_set descr "use_flowid and use_numa are two options; flowid_shift is 0 to 31"
}
flowid_body()
{
	local shift

	lagg_init 0
	atf_check $near ifconfig lagg0 create
	atf_check -o match:'flags=.*<USE_NUMA>' -o match:'flowid_shift: 16' $near ifconfig -v lagg0
	atf_check $near ifconfig lagg0 use_flowid
	atf_check -o match:'flags=.*<USE_FLOWID,USE_NUMA>' $near ifconfig -v lagg0
	atf_check $near ifconfig lagg0 -use_numa
	atf_check -o match:'flags=.*<USE_FLOWID>' $near ifconfig -v lagg0
	for shift in 0 31 8; do
		atf_check $near ifconfig lagg0 flowid_shift $shift
		atf_check -o match:"flowid_shift: $shift\$" $near ifconfig -v lagg0
	done
	refused 'flowid_shift' $near ifconfig lagg0 flowid_shift 32
	c_fails F-1
	atf_check $near ifconfig lagg0 use_numa -use_flowid
	atf_check -o match:'flags=.*<USE_NUMA>' $near ifconfig -v lagg0
}
flowid_cleanup()
{
	lagg_cleanup
}

atf_test_case roundrobin cleanup
roundrobin_head()
{
	atf_set descr "rr_limit is roundrobin's alone, and is 1 at first"
}
roundrobin_body()
{
	lagg_init 1
	atf_check $near ifconfig lagg0 create $near_ports up
	refused 'Invalid argument' $near ifconfig lagg0 rr_limit 5
	atf_check $near ifconfig lagg0 laggproto roundrobin
	atf_check -o match:'rr_limit: 1$' $near ifconfig -v lagg0
	atf_check $near ifconfig lagg0 rr_limit 5
	atf_check -o match:'rr_limit: 5$' $near ifconfig -v lagg0
	refused 'Invalid round-robin stride' $near ifconfig lagg0 rr_limit 0
	atf_check $near ifconfig lagg0 laggproto failover laggproto roundrobin
	atf_check -o match:'rr_limit: 1$' $near ifconfig -v lagg0
}
roundrobin_cleanup()
{
	lagg_cleanup
}

atf_test_case lacp cleanup
lacp_head()
{
	atf_set descr "The lacp_ options are lacp's alone, and shown while they are set"
}
lacp_body()
{
	local name option

	lagg_init 1
	atf_check $near ifconfig lagg0 create $near_ports up
	for option in lacp_strict lacp_txtest lacp_rxtest lacp_fast_timeout; do
		refused 'Invalid argument' $near ifconfig lagg0 $option
		refused 'Invalid argument' $near ifconfig lagg0 -$option
	done
	atf_check $near ifconfig lagg0 laggproto lacp
	atf_check -o match:'flags=.*<USE_NUMA,LACP_STRICT>' $near ifconfig -v lagg0
	atf_check $near ifconfig lagg0 -lacp_strict
	for option in lacp_strict lacp_txtest lacp_rxtest lacp_fast_timeout; do
		name=$(echo $option | sed s/timeout/timo/ | tr a-z A-Z)
		atf_check $near ifconfig lagg0 $option
		atf_check -o match:"flags=.*<USE_NUMA,$name>" $near ifconfig -v lagg0
		atf_check $near ifconfig lagg0 -$option
		atf_check -o match:'flags=.*<USE_NUMA>' $near ifconfig -v lagg0
	done
}
lacp_cleanup()
{
	lagg_cleanup
}

atf_test_case sysctls cleanup
sysctls_head()
{
	atf_set descr "The sysctls are what new laggs begin with, in each vnet its own"
}
sysctls_body()
{
	lagg_init 0
	atf_check -o ignore $near sysctl net.link.lagg.default_use_flowid=1 net.link.lagg.default_use_numa=0 \
		net.link.lagg.default_flowid_shift=5 net.link.lagg.lacp.default_strict_mode=0
	atf_check $near ifconfig lagg0 create laggproto lacp
	atf_check -o match:'flags=1<USE_FLOWID>' -o match:'flowid_shift: 5$' $near ifconfig -v lagg0
	atf_check $far ifconfig lagg0 create laggproto lacp
	atf_check -o match:'<USE_NUMA,LACP_STRICT>' -o match:'flowid_shift: 16$' $far ifconfig -v lagg0
}
sysctls_cleanup()
{
	lagg_cleanup
}

atf_test_case default_flowid_shift cleanup
default_flowid_shift_head()
{
	atf_set descr "A default for flowid_shift that is none is not taken"
}
default_flowid_shift_body()
{
	local shift

	lagg_init 0
	c_fails F-2
	for shift in -1 32; do
		atf_check -o ignore $near sysctl net.link.lagg.default_flowid_shift=$shift
		atf_check -o inline:'lagg0\n' $near ifconfig lagg create
		atf_check -o match:'flowid_shift: 16$' $near ifconfig -v lagg0
		atf_check $near ifconfig lagg0 destroy
	done
}
default_flowid_shift_cleanup()
{
	lagg_cleanup
}

atf_test_case media cleanup
media_head()
{
	atf_set descr "The media are autoselect, and nothing else"
}
media_body()
{
	lagg_init 1
	atf_check $near ifconfig lagg0 create $near_ports up
	atf_check -o match:'media: Ethernet autoselect' -o match:'status: active' $near ifconfig lagg0
	atf_check $near ifconfig lagg0 media autoselect
	refused 'not configured' $near ifconfig lagg0 media 1000baseT
	cut 0
	within 5 shows 'status: no carrier' $near ifconfig lagg0
}
media_cleanup()
{
	lagg_cleanup
}

atf_test_case unprivileged cleanup
unprivileged_head()
{
	atf_set descr "A user other than root can look, and change nothing"
}
unprivileged_body()
{
	local nobody words

	lagg_init 2
	atf_check $near ifconfig lagg0 create laggproto roundrobin laggport $p0 up
	nobody="$near chroot -u 65534 -g 65534 /"
	atf_check -o match:"laggport: $p0 " -o match:'rr_limit: 1' $nobody ifconfig -v lagg0
	for words in "laggport $p1" "-laggport $p0" 'laggproto none' 'lagghash l2' use_flowid 'flowid_shift 3' 'rr_limit 2' \
		'mtu 1400' down 'ether 02:00:00:00:00:77' destroy; do
		refused 'not permitted|permission denied' $nobody ifconfig lagg0 $words
	done
	refused 'not permitted' $nobody ifconfig lagg1 create
	atf_check -o match:'laggproto roundrobin lagghash l2,l3,l4' -o not-match:$p1 $near ifconfig lagg0
}
unprivileged_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case create
	atf_add_test_case ports
	atf_add_test_case many_ports
	atf_add_test_case protocols
	atf_add_test_case lagghash
	atf_add_test_case flowid
	atf_add_test_case roundrobin
	atf_add_test_case lacp
	atf_add_test_case sysctls
	atf_add_test_case default_flowid_shift
	atf_add_test_case media
	atf_add_test_case unprivileged
}
