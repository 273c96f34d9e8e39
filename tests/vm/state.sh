#!/bin/sh
# What sysctl(8) shows of laggs and ports: that it is right, and with the labels that prometheus_sysctl_exporter(8) needs;
# its nodes while ports join, leave, move and change their names, and readers read all of them; and what it costs.
# ROUNDS (40) is how often each loop of the last part at least goes round.
. ./lib.sh
begin
ROUNDS=${ROUNDS:-40}
for module in if_epair if_bridge; do kldload -n $module; done

at=net.link.lagg.iface
is() { [ "$(leaf "$1")" = "$2" ] || { echo "$1: $(leaf "$1")"; return 1; }; }
# How many pieces of memory laggs have, and how many bytes
pieces() { vmstat -m | awk '$1 == "lagg" { n = $2 } END { print n + 0 }'; }
bytes() { vmstat -m | awk '$1 == "lagg" { n = $3 } END { print n + 0 }'; }
fewer_pieces() { [ "$(pieces)" -le "$1" ] || { echo "$(pieces), and $1 before"; return 1; }; }
has_node() { sysctl -N $at | grep -q "^$at\.$1\."; }
hasnt_node() { ! has_node "$1"; }
exporter() { prometheus_sysctl_exporter net.link.lagg; }
if which prometheus_sysctl_exporter >/dev/null; then has_exporter=1; else
	has_exporter=
	skip "no prometheus_sysctl_exporter(8): its metrics"
fi

# LACP with a partner, under traffic
cables 3
start=$(pieces)
there lagg1 create
there lagg1 laggproto lacp laggport "$Q0" laggport "$Q1" laggport "$Q2" $JAIL_IP/24 up
ifc lagg0 create
check "a lagg without ports has no speed" is speed 0
ifc lagg0 laggproto lacp laggport "$P0" laggport "$P1" laggport "$P2" $HOST_IP/24 up
all_in_service() { is active_ports 3 && reaches; }
check "three ports are in service" wait_for 30 all_in_service
flow out ping -q -n -f $JAIL_IP

check "each leaf has a description" sh -c "! sysctl -d $at.lagg0 | grep -q ': *$'"
check "no number is negative or empty" sh -c "! sysctl $at.lagg0 | grep -E '(dropped|pdus|flaps).*: *(-|$)'"
refuses "nothing can be written" "read only" sysctl $at.lagg0.port."$P0".flaps=1

# as_ifconfig: the records of `ifconfig -v`
as_ifconfig() {
	ifc -v lagg0 >"$work/shown"
	grep -q "active ports: $(leaf active_ports)$" "$work/shown" || return
	for port in "$P0" "$P1" "$P2"; do
		p=port.$port.lacp
		mac=$(leaf $p.partner.system | tr 'a-f:' 'A-F-')
		sides=$(printf '(%04X,%s,%04X,%04X,%04X)' "$(leaf $p.partner.priority)" "$mac" "$(leaf $p.partner.key)" \
		    "$(leaf $p.partner.port_priority)" "$(leaf $p.partner.port)")
		state=$(printf 'state=%x<' "$(leaf $p.actor.state)")
		echo "$port $sides $state"
		grep -qF "$sides" "$work/shown" && grep "laggport: $port " "$work/shown" | grep -qF "$state" || return
	done
	cat "$work/shown"
	mac=$(leaf lacp.partner.system | tr 'a-f:' 'A-F-')
	# The line of the aggregator begins with "lag id".
	grep -A 1 'lag id' "$work/shown" | grep -qF "$(printf '%04X,%s,%04X,' "$(leaf lacp.partner.priority)" "$mac" "$(leaf lacp.partner.key)")"
}
check "LACP's states are those of ifconfig -v" as_ifconfig
errors_of() { netstat -I "$1" -n | awk '/<Link/ { print $(NF - 1); exit }'; }
# The lagg's own output errors: those of its ports are added to them.
own_errors() { echo $(($(errors_of lagg0) - $(errors_of "$P0") - $(errors_of "$P1") - $(errors_of "$P2"))); }
buckets() { echo "$(leaves '[.]buckets:')"; [ "$(leaves '[.]buckets:')" = 1024 ]; }
check "the ports share the flows" buckets
check "with the speed of all" is speed $(($(leaf port."$P0".speed) + $(leaf port."$P1".speed) + $(leaf port."$P2".speed)))
heard() { [ "$(leaf port."$P0".lacp.pdus_in)" -gt 0 ] && [ "$(leaf port."$P0".lacp.pdu_age)" -le 31 ]; }
check "LACPDUs are counted, and their age" heard
laggstat() { sh ./laggstat "$@"; }
names() { laggstat -c lagg0 >"$work/said"; grep -q "$1" "$work/said" || { cat "$work/said"; return 1; }; }
check "laggstat says that all is well" laggstat -c lagg0
check "on a screen too" sh -c 'sh ./laggstat | grep -q "^lagg0  lacp  good  3 of 3 ports in service"'
# Names and labels; the exporter shows the settings of all laggs too.
as_exporter() {
	laggstat -p | sed 's/ .*//' | sort >"$work/ours"
	exporter | sed 's/ .*//' | sort >"$work/theirs"
	[ -s "$work/ours" ] && ! comm -23 "$work/ours" "$work/theirs" | grep .
}
[ -z "$has_exporter" ] || check "for Prometheus as the exporter" as_exporter
ifc "$P2" down
check "a port that fails says so" wait_for 10 is port."$P2".in_service 0
check "and why" is port."$P2".reason down
check "laggstat says what to do" names "DEGRADED lagg0: 2 of 3 ports in service: $P2: it is down: ifconfig $P2 up"
check "it is counted" is port."$P2".flaps 1
check "and remembered" is port."$P2".last_flap down
check "the lagg too" is last_change "$P2 out of service: down"
ifc "$P2" up
check "it comes back" wait_for 30 is port."$P2".in_service 1
check "its failure stays" is port."$P2".flaps 1
# A name is any bytes. What is renamed while it is read gives no alarm, and neither does sysctl(8), which then gives up.
odd=$(printf 'a "\\\n\303')
called() { ifc lagg0 name "$odd" && laggstat -c "$odd"; }
check "laggstat finds a lagg of any name" called
ifc "$odd" name lagg0 >/dev/null
rename_port() { ifc "$P1" name "$odd" && ifc "$odd" name "$P1"; }
remake_other() { ifc lagg2 create && ifc lagg2 destroy; }
again renamed rename_port
again remade remake_other
all_well() {
	for round in 1 2 3 4 5 6 7 8 9 10 11 12; do laggstat -c lagg0 || return; done
	[ "$(rounds renamed)" -gt 5 ] && [ "$(rounds remade)" -gt 5 ]
}
check "and gives no alarm while a port is renamed" all_well
check "which ends" stop_loops
is_dropping() {
	errors=$(own_errors) dropped=$(leaves '^dropped[.]')
	for p in "$P0" "$P1" "$P2"; do ifc "$p" down; done
	wait_for 10 is active_ports 0
	not reaches
	wait_for 10 add_up
}
add_up() {
	more_errors=$(($(own_errors) - errors)) more_dropped=$(($(leaves '^dropped[.]') - dropped))
	echo "netstat: $more_errors, dropped: $more_dropped"
	[ "$more_dropped" -gt 0 ] && [ "$more_errors" = "$more_dropped" ]
}
# While packets go on being dropped: one number is read before the other, and once more after it.
in_step() {
	for round in 1 2 3 4 5; do
		before=$(own_errors) between=$(leaves '^dropped[.]') after=$(own_errors)
		echo "netstat: $((before - errors)), dropped: $((between - dropped)), netstat: $((after - errors))"
		[ $((before - errors)) -le $((between - dropped)) ] && [ $((between - dropped)) -le $((after - errors)) ] || return
	done
	[ $((before - errors)) -gt 0 ]
}
of_netstat() { netstat -I lagg0 -n | awk '/<Link/ { print $2; exit }'; }
check "with none no port is in service" ifc lagg0 laggproto none
check "as the port says" wait_for 10 is port."$P0".in_service 0
check "and why" is port."$P0".reason standby
check "nor counts one" is active_ports 0
check "nor has a speed" wait_for 10 is speed 0
check "laggstat says what to do" names "DOWN lagg0: 0 of 3 ports in service: its protocol is none"
ifc lagg0 laggproto lacp
check "with lacp all are again" wait_for 30 all_in_service
check "the MTU is netstat's" is mtu "$(of_netstat)"
errors=$(own_errors) dropped=$(leaves '^dropped[.]')
for p in "$P0" "$P1" "$P2"; do ifc "$p" down; done
check "no port is in service" wait_for 10 is active_ports 0
check "under traffic, what is dropped is what netstat calls output errors" in_step
for p in "$P0" "$P1" "$P2"; do ifc "$p" up; done
check "the three come back" wait_for 30 all_in_service
stop_flows
check "what is dropped is what netstat calls output errors" is_dropping
for p in "$P0" "$P1" "$P2"; do ifc "$p" up; done
check "and all three come back" wait_for 30 all_in_service

# Metrics
metric() { exporter | grep -qF "$1" || { exporter | grep -F "${1%%\{*}"; return 1; }; }
same_metrics() {
	# Each number that sysctl(8) shows is a metric of that value.
	sysctl $at.lagg0 | awk '$2 ~ /^[0-9]+$/ && NF == 2' | grep -vE 'pdu|age:|markers|responses' | sort >"$work/numbers"
	exporter >"$work/metrics"
	awk '
		NR == FNR { metrics[$1] = $2; next }
		{
			name = substr($1, 1, length($1) - 1)
			sub(/^net\.link\.lagg\.iface\.lagg0\./, "", name)
			labels = "{lagg=\"lagg0\""
			if (sub(/^port\./, "", name)) {
				port = name
				sub(/\..*/, "", port)
				name = "port" substr(name, length(port) + 1)
				labels = labels ",port=\"" port "\""
			}
			if (name ~ /(dropped|illegal)\./) {
				reason = name
				sub(/.*\./, "", reason)
				name = substr(name, 1, length(name) - length(reason) - 1)
				labels = labels ",reason=\"" reason "\""
			}
			gsub(/\./, "_", name)
			metric = "sysctl_net_link_lagg_iface_" name labels "}"
			if (metrics[metric] != $2) { print metric, metrics[metric], "and not", $2; bad = 1 }
			n++
		}
		END { print n, "metrics"; exit(bad || n < 100) }' "$work/metrics" "$work/numbers"
}
if [ -n "$has_exporter" ]; then
	check "each number is a metric with its labels" same_metrics
	check "such as a counter of a port" metric "sysctl_net_link_lagg_iface_port_lacp_pdus_in{lagg=\"lagg0\",port=\"$P0\"}"
	check "or a reason" metric "sysctl_net_link_lagg_iface_port_dropped{lagg=\"lagg0\",port=\"$P0\",reason=\"not_accepted\"} "
	check "no metric is there twice" sh -c "[ -z \"\$(prometheus_sysctl_exporter net.link.lagg | sed 's/ .*//' | sort | uniq -d)\" ]"
fi

# Names
# A leaf without a value is left out.
named() { [ -n "$(leaf "port.$1.in_service" 2>/dev/null)" ]; }
gone_node() { ! sysctl -N $at.lagg0 | grep -q "^$at\.lagg0\.port\.$1\."; }
for called in em0.100 port stats lacp reason; do
	ifc "$P1" name $called >/dev/null
	written=$(echo $called | sed 's/\./%2E/')
	check "a port named $called" wait_for 10 named "$written"
	check "and no longer $P1" wait_for 10 gone_node "$P1"
	ifc $called name "$P1" >/dev/null
	check "nor $called" wait_for 10 gone_node "$written"
done
check "a port that leaves" ifc lagg0 -laggport "$P1"
check "takes its leaves with it" wait_for 10 gone_node "$P1"
check "one that moves" ifc "$P2" vnet $JAIL
check "does too" wait_for 10 gone_node "$P2"
ifc "$P2" -vnet $JAIL
ifc "$P2" up
check "both come back" ifc lagg0 laggport "$P1" laggport "$P2"
check "and their leaves" wait_for 10 sh -c "sysctl -N $at.lagg0 | grep -q '\.port\.$P2\.flaps'"
jail -c name=two vnet persist path=/ >/dev/null
jexec two ifconfig lagg0 create
e=$(ifconfig epair create)
ifc "$e" vnet two
jexec two ifconfig "$e" name "$P0" >/dev/null
jexec two ifconfig lagg0 laggport "$P0" up
theirs() {
	[ "$(jexec two sysctl -n $at.lagg0.protocol $at.lagg0.ports)" = "failover
1" ] && [ "$(jexec two sysctl -n $at.lagg0.port."$P0".in_service)" = 1 ] &&
		[ -z "$(jexec two sysctl -n $at.lagg0.port."$P0".lacp.pdus_in)" ] &&
		[ -z "$(jexec two sysctl -n $at.lagg0.port."$P1".in_service)" ] &&
		[ -n "$(leaf port."$P0".lacp.pdus_in)" ]
}
check "a jail's lagg0 has its own port of that name, and sees no other" wait_for 10 theirs
jexec two ifconfig lagg0 -laggport "$P0"
check "which leaves ours alone" named "$P0"
jail -r two
check "also when the jail ends" wait_for 10 named "$P0"

# Readers of everything, while ports and laggs come and go
readers() {
	again "r$1" sysctl $at
	again "s$1" sysctl -a
	[ -z "$has_exporter" ] || again "e$1" prometheus_sysctl_exporter net.link.lagg
}
join() { for p in "$P0" "$P1" "$P2"; do ifc lagg0 -laggport "$p"; ifc lagg0 laggport "$p"; done; }
rename() { ifc "$P1" name other && ifc other name "$P1"; ifc lagg0 name trunk && ifc trunk name lagg0; }
move() { ifc "$P2" vnet $JAIL; ifc "$P2" -vnet $JAIL; ifc "$P2" up; ifc lagg0 laggport "$P2"; }
remake() { ifc lagg2 create; ifc "$e" up; ifc lagg2 laggport "$e" up; ifc lagg2 destroy; }
went_round() {
	for loop in join rename move remake ra; do
		[ "$(rounds $loop)" -ge "$ROUNDS" ] || { echo "$loop: $(rounds $loop)"; return 1; }
	done
}
readers a
readers b
again jailed jexec $JAIL sysctl $at
again join join
again rename rename
again move move
again remake remake
check "ports join, leave, move and are renamed, and laggs come and go" wait_for 900 went_round
check "and nothing hangs" stop_loops
[ -z "$stuck" ] || exit 1
echo "     rounds: $(for l in ra sa join rename move remake; do printf '%s %s ' $l "$(rounds $l)"; done)"
ifc "$P2" -vnet $JAIL 2>/dev/null
ifc lagg0 destroy
there lagg1 destroy
check "then no node is left" sh -c "! sysctl -N $at | grep ."
check "and no memory" wait_for 30 fewer_pieces "$start"

# What a lagg of 32 ports takes
if [ -f "$PWD/lagg_traffic.ko" ]; then
	traffic_ports 32
	b=$(bytes) o=$(pieces)
	ifc lagg0 create
	ifc lagg0 laggproto lacp up
	settle() { last=$now; now=$(pieces); [ "$last" = "$now" ]; }
	now= && wait_for 20 settle && own=$(bytes)
	t=$(date +%s%N)
	ifc lagg0 $(printf 'laggport %s ' $ports)
	wait_for 60 sh -c "sysctl -N $at.lagg0 | grep -q '\.port\.lgt31\.flaps'"
	joined=$((($(date +%s%N) - t) / 1000000))
	now= && wait_for 20 settle
	echo "     $(($(pieces) - o)) allocations; $((own - b)) bytes for the lagg, $((($(bytes) - own) / 32)) for each port; 32 joined in $joined ms"
	ifc lagg0 destroy
	t=$(date +%s%N)
	check "32 ports' leaves go with the lagg" wait_for 60 fewer_pieces "$o"
	echo "     they went in $((($(date +%s%N) - t) / 1000000)) ms"

	# A reader of everything costs packets nothing: they take no lock, and it takes none that they need. A clock that
	# counts instructions (VM_ICOUNT) shows that: of many short runs the least is one that no other thread has interrupted.
	ifc lagg0 create
	ifc lagg0 laggproto loadbalance $(printf 'laggport %s ' $ports) up
	least() {
		for run in $(seq 40); do
			sysctl -q kern.lagg_traffic.transmit=640 >/dev/null && sysctl -n kern.lagg_traffic.transmit
		done | sort -n | head -n 1
	}
	least >/dev/null
	one=$(least) two=$(least)
	again reader sysctl $at
	beside=$(least)
	stop_loops
	echo "     ticks for 640 packets: $one, $two; beside a reader $beside; $(rounds reader) readings"
	if [ $((one * 1000)) -le $((two * 1001)) ] && [ $((two * 1000)) -le $((one * 1001)) ]; then
		check "packets pay nothing for a reader" [ $((beside * 1000)) -le $((one * 1002)) ]
	else
		skip "the clock counts no instructions: whether packets pay for a reader"
	fi
	ifc lagg0 destroy
	kldunload lagg_traffic
fi
finish
