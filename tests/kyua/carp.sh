#!/usr/libexec/atf-sh
# carp(4) on a lagg

. $(atf_get_srcdir)/lagg.subr

shared_ip=192.0.2.100

atf_test_case takeover cleanup
takeover_head()
{
	atf_set descr "The backup takes over when the master's lagg has no link left, and no sooner"
}
takeover_body()
{
	require carp if_bridge
	# Both laggs and a host that pings are on one bridge, as on a switch.
	lagg_init 0
	make_jail lagg_third
	atf_check jexec lagg_third ifconfig bridge0 create 192.0.2.3/24 up
	near_ports= far_ports=
	for n in 0 1; do
		make_link lagg_near lagg_third
		eval "p$n=${link}a q$n=${link}b"
		near_ports="$near_ports laggport ${link}a"
		atf_check jexec lagg_third ifconfig bridge0 addm ${link}b
	done
	make_link lagg_far lagg_third
	atf_check jexec lagg_third ifconfig bridge0 addm ${link}b
	far_ports="laggport ${link}a"
	lagg_pair failover
	atf_check -o ignore $near sysctl net.inet.carp.preempt=1
	atf_check $near ifconfig lagg0 vhid 1 advskew 0 alias $shared_ip/32
	within 20 shows 'carp: MASTER' $near ifconfig lagg0
	atf_check $far ifconfig lagg0 vhid 1 advskew 100 alias $shared_ip/32
	within 20 shows 'carp: BACKUP' $far ifconfig lagg0
	within 10 jexec lagg_third ping -q -n -c 1 -W 1000 $shared_ip
	# One link goes. An epair keeps its link until both ends are down.
	atf_check $near ifconfig $p0 down
	atf_check jexec lagg_third ifconfig $q0 down
	within 10 jexec lagg_third ping -q -n -c 1 -W 1000 $shared_ip
	atf_check -o match:'carp: MASTER' $near ifconfig lagg0
	atf_check -o match:'carp: BACKUP' $far ifconfig lagg0
	# So does the other: the lagg has no port that works.
	atf_check $near ifconfig lagg0 -laggport $p0 -laggport $p1
	within 20 shows 'carp: MASTER' $far ifconfig lagg0
	within 10 jexec lagg_third ping -q -n -c 1 -W 1000 $shared_ip
	within 10 shows 'carp: INIT' $near ifconfig lagg0
	atf_check $near ifconfig lagg0 laggport $p1
	within 20 shows 'carp: MASTER' $near ifconfig lagg0
	within 20 shows 'carp: BACKUP' $far ifconfig lagg0
	within 10 jexec lagg_third ping -q -n -c 1 -W 1000 $shared_ip
	# Otherwise WITNESS would report carp(4)'s locks when the lagg is destroyed.
	atf_check $near ifconfig lagg0 $shared_ip -alias
	atf_check $far ifconfig lagg0 $shared_ip -alias
}
takeover_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case takeover
}
