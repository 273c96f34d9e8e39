#!/usr/libexec/atf-sh
# LACP between two laggs: which ports are in service, and when

. $(atf_get_srcdir)/lagg.subr

# in_service JAIL N: N ports of its lagg0 are in service
in_service()
{
	$1 ifconfig lagg0
	[ "$($1 ifconfig lagg0 | grep -c 'flags=1c<ACTIVE,COLLECTING,DISTRIBUTING>')" = $2 ]
}

both_in_service()
{
	in_service "$near" $1 && in_service "$far" $1
}

# The systems in the LAG ID of a jail's lagg0
lag_id()
{
	$1 ifconfig -v lagg0 | awk '/lag id:/ { getline l; print $0, l }' | grep -oE '[0-9A-F]{2}(-[0-9A-F]{2}){5}' | sort -u
}

# agreed N: N ports of one aggregation are in service on both sides. Right after a change this may
# still show the state before it.
agreed()
{
	both_in_service $1 && [ -n "$(lag_id "$near")" ] && [ "$(lag_id "$near")" = "$(lag_id "$far")" ]
}

# A MAC address in the form of the LAG ID
dashes()
{
	echo $1 | tr a-f: A-F-
}

atf_test_case negotiation cleanup
negotiation_head()
{
	atf_set descr "All links come into service, and both ends name the same aggregation"
}
negotiation_body()
{
	lagg_init 3
	lagg_pair lacp
	within 15 both_in_service 3
	atf_check -o match:'active ports: 3' $near ifconfig -v lagg0
	traffic
	loses_nothing
	[ $(lag_id "$near" | wc -l) = 2 ] || atf_fail "the aggregation has not two systems"
	[ "$(lag_id "$near")" = "$(lag_id "$far")" ] || atf_fail "the ends name different aggregations"
	lag_id "$near" | grep -q $(dashes $(mac "$near" lagg0)) || atf_fail "the system is not the lagg's address"
}
negotiation_cleanup()
{
	lagg_cleanup
}

atf_test_case no_partner cleanup
no_partner_head()
{
	atf_set descr "Without a partner no port is in service, in strict mode or not"
}
no_partner_body()
{
	lagg_init 2
	atf_check $near ifconfig lagg0 create laggproto lacp lacp_fast_timeout $near_ports $near_ip/24 up
	# Now it has found that there is no partner.
	within 20 shows 'state=.*DEFAULTED' $near ifconfig -v lagg0
	atf_check -o not-match:DISTRIBUTING $near ifconfig lagg0
	atf_check $near ifconfig lagg0 -lacp_strict
	within 20 shows 'state=.*DEFAULTED' $near ifconfig -v lagg0
	atf_check -o not-match:DISTRIBUTING $near ifconfig lagg0
	atf_check -o ignore $near arp -s $far_ip 02:00:00:00:00:01
	atf_check -s exit:2 -o ignore -e match:'Network is down' $near ping -q -n -c 1 -W 100 $far_ip
}
no_partner_cleanup()
{
	lagg_cleanup
}

atf_test_case link_down cleanup
link_down_head()
{
	atf_set descr "A link that goes leaves service, and comes back; the others go on"
}
link_down_body()
{
	lagg_init 2
	lagg_pair lacp
	both lacp_fast_timeout
	within 15 both_in_service 2
	cut 0
	within 10 both_in_service 1
	traffic
	loses_nothing
	heal 0
	within 15 both_in_service 2
	traffic
	loses_nothing
}
link_down_cleanup()
{
	lagg_cleanup
}

atf_test_case port_leaves cleanup
port_leaves_head()
{
	atf_set descr "A port that leaves tells the other end, which takes its own out of service at once"
}
port_leaves_body()
{
	lagg_init 2
	lagg_pair lacp
	within 15 both_in_service 2
	c_fails "C lagg says no farewell: the other end waits 90 s"
	atf_check $near ifconfig lagg0 -laggport $p1
	within 5 in_service "$far" 1
	traffic
	atf_check $near ifconfig lagg0 laggport $p1
	within 15 both_in_service 2
	atf_check $near ifconfig lagg0 destroy
	within 5 in_service "$far" 0
}
port_leaves_cleanup()
{
	lagg_cleanup
}

atf_test_case port_leaves_early cleanup
port_leaves_early_head()
{
	atf_set descr "A port that leaves while the others wait to be aggregated with it leaves them service"
}
port_leaves_early_body()
{
	lagg_init 3
	# In the aggregation with the other end, where all wait 2 s for others
	waits()
	{
		$near ifconfig -v lagg0 | grep -A 2 "laggport: $p2 flags=0<>" | grep -q "$(dashes $(mac "$far" lagg0))"
	}
	# On a busy machine that may be over before anyone looks: then LACP starts again.
	waits_once_more()
	{
		waits && return
		in_service "$near" 3 && $near ifconfig lagg0 laggproto failover laggproto lacp
		return 1
	}
	lagg_pair lacp
	within 60 waits_once_more
	c_fails F-15
	atf_check $near ifconfig lagg0 -laggport $p2
	within 15 in_service "$near" 2
	traffic
}
port_leaves_early_cleanup()
{
	lagg_cleanup
}

atf_test_case fast_timeout cleanup
fast_timeout_head()
{
	atf_set descr "lacp_fast_timeout holds for ports that join later too"
}
fast_timeout_body()
{
	lagg_init 2
	lagg_pair lacp
	both lacp_fast_timeout
	within 15 both_in_service 2
	atf_check -o match:"$p1 .*state=.*ACTIVITY,TIMEOUT" $near ifconfig -v lagg0
	c_fails F-18
	# Nothing is received meanwhile: C lagg would panic (D-4).
	cut 1
	atf_check $near ifconfig lagg0 -laggport $p1 laggport $p1
	heal 1
	atf_check -o match:"$p1 .*state=.*ACTIVITY,TIMEOUT" $near ifconfig -v lagg0
	within 15 both_in_service 2
	atf_check $near ifconfig lagg0 -lacp_fast_timeout
	atf_check -o not-match:'ACTIVITY,TIMEOUT' $near ifconfig -v lagg0
}
fast_timeout_cleanup()
{
	lagg_cleanup
}

atf_test_case address cleanup
address_head()
{
	atf_set descr "With a new address the lagg is the same system for the other end"
}
address_body()
{
	lagg_init 2
	lagg_pair lacp
	within 15 both_in_service 2
	c_fails F-26
	before=$(lag_id "$far")
	atf_check $near ifconfig lagg0 ether 02:00:5e:00:53:99
	# C lagg is another system from now on, and does not announce it.
	ours || within 10 shows 02-00-5E-00-53-99 $far ifconfig -v lagg0
	within 15 both_in_service 2
	[ "$(lag_id "$far")" = "$before" ] || atf_fail "the other end knows another system"
	traffic
}
address_cleanup()
{
	lagg_cleanup
}

atf_test_case primary_leaves cleanup
primary_leaves_head()
{
	atf_set descr "When the primary port leaves, the lagg is the same system, and the others stay in service"
}
primary_leaves_body()
{
	c_panics "D-3, D-4"
	lagg_init 3
	lagg_pair lacp
	both lacp_fast_timeout
	within 15 both_in_service 3
	before=$(lag_id "$far")
	atf_check $near ifconfig lagg0 -laggport $p0
	in_service "$near" 2 || atf_fail "the others have left service"
	within 20 agreed 2
	[ "$(lag_id "$far")" = "$before" ] || atf_fail "the other end knows another system"
	traffic
	atf_check $near ifconfig lagg0 laggport $p0
	within 20 agreed 3
}
primary_leaves_cleanup()
{
	lagg_cleanup
}

atf_test_case rxtest cleanup
rxtest_head()
{
	atf_set descr "lacp_rxtest has the LACPDUs of all ports dropped"
}
rxtest_body()
{
	lagg_init 2
	c_fails F-25
	atf_check $near ifconfig lagg0 create laggproto lacp lacp_rxtest lacp_fast_timeout up
	# F-25 concerns all units except 0.
	[ $p0 != epair0a ] || p0=$p1
	atf_check $near ifconfig lagg0 laggport $p0
	atf_check $far ifconfig lagg0 create laggproto lacp lacp_fast_timeout $far_ports up
	within 20 shows "$p0 .*state=.*DEFAULTED" $near ifconfig -v lagg0
	atf_check $near ifconfig lagg0 -lacp_rxtest
	within 15 in_service "$near" 1
}
rxtest_cleanup()
{
	lagg_cleanup
}

atf_test_case txtest cleanup
txtest_head()
{
	atf_set descr "lacp_txtest has no LACPDU sent by any port"
}
txtest_body()
{
	lagg_init 2
	c_fails F-25
	atf_check $near ifconfig lagg0 create laggproto lacp lacp_txtest lacp_fast_timeout up
	[ $p0 != epair0a ] || p0=$p1 q0=$q1
	atf_check $near ifconfig lagg0 laggport $p0
	atf_check $far ifconfig lagg0 create laggproto lacp lacp_fast_timeout laggport $q0 up
	within 20 shows "$q0 .*state=.*DEFAULTED" $far ifconfig -v lagg0
	atf_check $near ifconfig lagg0 -lacp_txtest
	within 15 both_in_service 1
}
txtest_cleanup()
{
	lagg_cleanup
}

atf_test_case standby_partner cleanup
standby_partner_head()
{
	atf_set descr "Of two partners one is used, and the loss of the other one does no harm"
}
standby_partner_body()
{
	local active n

	lagg_init 2
	lagg_pair lacp
	make_jail lagg_third
	for n in 2 3; do
		make_link lagg_near lagg_third
		eval "p$n=${link}a q$n=${link}b"
	done
	within 15 both_in_service 2
	atf_check $near ifconfig lagg0 laggport $p2 laggport $p3
	atf_check $near ifconfig lagg0 lacp_fast_timeout
	atf_check jexec lagg_third ifconfig lagg0 create laggproto lacp laggport $q2 laggport $q3 $far_ip/24 up
	# In C lagg the ports of the other one distribute too.
	both_known()
	{
		[ "$($near ifconfig -v lagg0 | grep -c 'state=')" = 4 ] &&
		    ! $near ifconfig -v lagg0 | grep -q 'state=.*DEFAULTED' &&
		    ! jexec lagg_third ifconfig -v lagg0 | grep -q 'state=.*DEFAULTED'
	}
	within 15 both_known
	one_in_service()
	{
		in_service "$near" 2
	}
	within 15 one_in_service
	in_service "$near" 2 || atf_fail "not one of the partners alone is active"
	active=$($near ifconfig lagg0 | awk '/flags=1c/ { print $2; exit }')
	if [ $active = $p0 ] || [ $active = $p1 ]; then set -- lagg_third $q2 $q3; else set -- lagg_far $q0 $q1; fi
	atf_check jexec $1 ifconfig $2 down
	atf_check jexec $1 ifconfig $3 down
	other_gone()
	{
		[ "$($near ifconfig lagg0 | grep -c DISTRIBUTING)" = 2 ]
	}
	within 15 other_gone
	c_fails F-16
	atf_check -o match:'active ports: 2' $near ifconfig -v lagg0
	traffic
}
standby_partner_cleanup()
{
	lagg_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case negotiation
	atf_add_test_case no_partner
	atf_add_test_case link_down
	atf_add_test_case port_leaves
	atf_add_test_case port_leaves_early
	atf_add_test_case fast_timeout
	atf_add_test_case address
	atf_add_test_case primary_leaves
	atf_add_test_case rxtest
	atf_add_test_case txtest
	atf_add_test_case standby_partner
}
