#!/bin/sh
# laggstat(8): shows the state of each lagg, and says what is probably wrong.
#
# It reads what `sysctl net.link.lagg` prints on FreeBSD, `userlagg` on Linux, or a file that has these lines. All the rest is awk's.
usage() {
	echo "usage: laggstat [-c | -j | -p | -w seconds] [-f file] [lagg ...]" >&2
	exit 3
}

unset file seconds
show='' tries='1 2 3 4 last' hint='is if_lagg_rs loaded?'
while getopts cf:jpw: option; do
	case $option in
	c | j | p) [ "${show:-$option}" = "$option" ] && show=$option || usage ;;
	f) file=$OPTARG tries=last hint='is it what sysctl net.link.lagg prints?' ;;
	w) seconds=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
case ${seconds-1} in 0* | *[!0-9]* | ??????* | '') usage ;; esac
[ -z "$show" ] || [ -z "${seconds-}" ] || usage
# Those who monitor may not have these.
PATH=$PATH:/sbin:/usr/sbin:/usr/local/sbin

if [ -z "$show" ] && [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then colour=1; else colour=0; fi

# The state of all laggs, and a line if not all of it could be read: sysctl(8) gives up where a lagg is being renamed.
state() {
	[ $try = last ] || exec 2>/dev/null
	if [ "${file+given}" ]; then cat -- "$file"
	elif [ "$(uname -s)" = FreeBSD ]; then sysctl net.link.lagg
	else of_userlagg; fi || echo unread
}
of_userlagg() {
	version=$(userlagg -V) && laggs=$(userlagg -l) || return
	echo "net.link.lagg.version: ${version#userlagg }"
	for lagg in $laggs; do timeout 2 userlagg "$lagg" state || echo unread; done
}

# report [LAGG...]: of these laggs, or of all. Its status is what laggstat exits with.
report() {
	for try in $tries; do
		state | LC_ALL=C awk -v show="$show" -v colour=$colour -v try=$try -v hint="$hint" '
BEGIN {
	# Names are no files to awk.
	named = ARGC - 1
	ARGC = 1
	for (i = 1; i <= named; i++) asked[ARGV[i]]
	for (i = 1; i < 256; i++) {
		code = sprintf("%%%02X", i)
		byte_of[code] = sprintf("%c", i)
		shown[byte_of[code]] = i < 32 || i > 126 ? code : byte_of[code]
	}
}

# A line is "LAGG.LEAF: VALUE"; FreeBSD has net.link.lagg.iface. before it. A leaf of a port is "port.NAME.LEAF".
{
	line = printable($0)
	if (line == "unread") unread = 1
	at = index(line " ", ": ")
	leaf = substr(line, 1, at - 1)
	text = substr(line, at + 2)
	if (sub(/^net\.link\.lagg\./, "", leaf)) {
		if (leaf == "version") driver = text
		if (!sub(/^iface\./, "", leaf)) next
		freebsd = 1
	}
	if (split(leaf, node, ".") < 2) next
	lagg = node[1]
	if (!(lagg in wanted)) {
		wanted[lagg] = !named || raw(lagg) in asked || plain(lagg) in asked
		if (wanted[lagg]) laggs[++lagg_count] = lagg
	}
	if (!wanted[lagg]) next
	leaf = substr(leaf, length(lagg) + 2)
	if (node[2] == "port" && !((lagg, node[3]) in known)) {
		ports[lagg, ++port_count[lagg]] = node[3]
		known[lagg, node[3]]
	}
	if (!has(leaf)) leaves[lagg, ++leaf_count[lagg]] = leaf
	value[lagg, leaf] = text
}

END {
	leave_out()
	if ((unread || has_changed) && try != "last") exit 4
	for (i = 1; i <= lagg_count; i++) {
		examine(laggs[i])
		if (level[laggs[i]] > worst) worst = level[laggs[i]]
		found[raw(laggs[i])]
		found[plain(laggs[i])]
	}
	if (show == "j") json()
	else for (i = 1; i <= lagg_count; i++) {
		if (show == "c") check(laggs[i])
		else if (show == "p") prometheus(laggs[i])
		else screen(laggs[i])
	}
	if (driver == "" && !lagg_count) fail("nothing to read: " hint)
	else {
		for (i = 1; i <= named; i++) if (!(ARGV[i] in found)) fail(printable(ARGV[i]) ": no such lagg of this driver")
		if (unread) fail("not all could be read")
		else if (!lagg_count && !named && show == "") print "no laggs"
		else if (!lagg_count && !named && show == "c") print "GOOD: no laggs"
	}
	exit worst == 3 || show == "c" ? worst + 0 : 0
}

# fail TEXT: what could not be shown
function fail(text) {
	print "laggstat: " text | "cat 1>&2"
	worst = 3
}

# ---- what was read ----

# printable TEXT: with %XX for each byte that is no printable ASCII character
function printable(text,    i, done) {
	if (text !~ /[^ -~]/) return text
	for (i = 1; i <= length(text); i++) done = done shown[substr(text, i, 1)]
	return done
}
# raw NODE: the name of the interface whose node that is, of any bytes; plain NODE: that name as it is shown
function raw(node,    done) {
	while (match(node, /%[0-9A-F][0-9A-F]/)) {
		done = done substr(node, 1, RSTART - 1) byte_of[substr(node, RSTART, 3)]
		node = substr(node, RSTART + 3)
	}
	return done node
}
function plain(node) { return printable(raw(node)) }

# Leaves out what lacks some of these: it was being made, renamed or destroyed.
function leave_out(    i, j, whole, ports_whole) {
	for (i = 1; i <= lagg_count; i++) {
		lagg = laggs[i]
		if (has_all("", "protocol up link_up speed mtu ports active_ports min_links dropped.paused")) laggs[++whole] = lagg
		else unread = 1
		ports_whole = 0
		for (j = 1; j <= port_count[lagg]; j++)
			if (has_all("port." ports[lagg, j] ".", "in_service reason link_up speed mtu flaps dropped.no_room"))
				ports[lagg, ++ports_whole] = ports[lagg, j]
		port_count[lagg] = ports_whole
		if (ports_whole != number("ports")) has_changed = 1
	}
	lagg_count = whole + 0
}
function has_all(prefix, names,    i, count, list) {
	count = split(names, list, " ")
	for (i = 1; i <= count; i++) if (!has(prefix list[i])) return 0
	return 1
}

# What a leaf of the lagg, or of its port, says: as text, and as a number
function of(leaf) { return value[lagg, leaf] }
function at_port(leaf) { return of("port." port "." leaf) }
function number(leaf) { return of(leaf) + 0 }
function port_number(leaf) { return at_port(leaf) + 0 }
function has(leaf) { return (lagg, leaf) in value }
function bit(states, mask) { return int(states / mask) % 2 }

# ---- what is wrong ----

# problem SEVERITY TEXT: 1 degraded, 2 down
function problem(severity, text) {
	problems[lagg, ++problem_count[lagg]] = text
	if (severity > level[lagg]) level[lagg] = severity
}

# examine LAGG: finds what is wrong with it and its ports
function examine(name,    i, rate, reason, is_down, command) {
	lagg = name
	level[lagg] = 0
	is_down = !number("up")
	command = (freebsd ? "ifconfig " : "userlagg ") plain(lagg)
	if (!number("ports")) problem(2, "it has no ports: " command " laggport ...")
	else if (of("protocol") == "none") problem(2, "its protocol is none, which sends and accepts nothing")
	else if (is_down) problem(2, "it is down: " command " up")
	else if (number("active_ports") < number("min_links") && !number("link_up"))
		problem(2, of("active_ports") " of " of("ports") " ports in service, fewer than min_links " of("min_links"))
	else if (!number("link_up")) problem(2, "no port is in service")
	for (i = 1; i <= port_count[lagg]; i++) {
		port = ports[lagg, i]
		if (at_port("reason") == "") rate = port_number("speed")
	}
	for (i = 1; i <= port_count[lagg]; i++) {
		port = ports[lagg, i]
		reason = at_port("reason")
		if (!is_down && reason != "") why(reason, rate)
		also(reason)
	}
}

# say TEXT: of the port, which is a fault
function say(text) { problem(1, plain(port) ": " text) }

# why REASON RATE: explains why the port is not in service, where one of that speed is, and what to do
function why(reason, rate,    age, partner, best) {
	age = at_port("lacp.pdu_age")
	partner = at_port("lacp.partner.system")
	best = of("lacp.partner.system")
	if (reason == "no link") say("no link: is the cable in, and the other end up?")
	else if (reason == "down") say("it is down: " (freebsd ? "ifconfig " : "ip link set ") plain(port) " up")
	else if (reason == "waits up_delay") say("it has a link, and has to keep it for up_delay, " of("up_delay") " ms")
	else if (reason == "looped") say("hears our own LACPDUs: a loop, a hub, or a partner with our lacp.system_id")
	else if (reason == "no partner") {
		if (!number("lacp.active")) say("no LACPDU" since(age) ", and we are passive (lacp.active 0): is the other end, too?")
		else say("link up, no LACPDU" since(age) ": is the switch port in an LACP group?")
	} else if (reason == "not in sync" && !number("lacp.active") && !bit(port_number("lacp.partner.state"), 1))
		say("both ends are passive (lacp.active 0), so neither speaks")
	else if (reason == "individual") {
		if (port_number("lacp.unfit")) say("half duplex, or no Ethernet: LACP aggregates only full duplex links")
		else say("the partner wants to use it alone: is the switch port in an LACP group?")
	} else if (reason == "another partner" || of("protocol") == "lacp" && reason == "standby") {
		# A port of the aggregator in service waits because it was told to (lacp.max_links).
		if (!has("lacp.aggregator") || at_port("lacp.aggregator") == of("lacp.aggregator")) return
		if (partner != best) say("its partner is " partner ", not " best ": two switches, which are no MLAG pair?")
		else if (rate && port_number("speed") != rate) say(speed(port_number("speed")) "b/s, others have " speed(rate) "b/s: LACP aggregates links of one speed")
		else if (at_port("lacp.partner.key") != of("lacp.partner.key"))
			say("in another channel group of the same switch: key " at_port("lacp.partner.key") ", not " of("lacp.partner.key"))
		else say("another group of ports to the same partner is in service")
	} else if (reason == "not in sync") say("the partner is not in sync on it yet, or does not want it in its group: see why on the switch")
	else if (reason == "not collecting") say("the partner is in sync, but takes no frames from it")
}

function since(age) { return age == "" ? " was ever heard" : " for " age " s" }

# also: what is wrong with the port in whatever state
function also(reason) {
	if (at_port("mtu") != of("mtu")) say("its MTU is " at_port("mtu") ", that of the lagg " of("mtu"))
	if (of("protocol") != "lacp") return
	if (reason == "" && at_port("lacp.receive") == "DEFAULTED") say("in service without a partner, by lacp.fallback")
	# A partner that sends every 30 s is missed, and found again, each time.
	if (bit(port_number("lacp.actor.state"), 2) && port_number("lacp.timeouts") > 2 && at_port("last_flap") == "no partner" && port_number("last_flap_age") < 300 && has("port." port ".last_flap_age"))
		say("its partner timed out " at_port("lacp.timeouts") " times: does it send each second, as lacp_fast_timeout asks it to?")
}

# ---- how it is shown ----

function paint(code, text) { return colour ? sprintf("%c[%sm%s%c[0m", 27, code, text, 27) : text }
function speed(bits) { return bits >= 1e9 ? sprintf("%.4gG", bits / 1e9) : bits > 0 ? sprintf("%.4gM", bits / 1e6) : "-" }
function short(count) {
	return count < 1e5 ? count + 0 : count < 1e8 ? int(count / 1e3) "k" : count < 1e11 ? int(count / 1e6) "M" : int(count / 1e9) "G"
}
function ago(age) {
	if (age == "") return "-"
	age += 0
	return age < 100 ? age "s" : age < 6000 ? int(age / 60) "m" : age < 172800 ? int(age / 3600) "h" : int(age / 86400) "d"
}
# drops PREFIX: the sum of its counters
function drops(prefix,    i, sum) {
	for (i = 1; i <= leaf_count[lagg]; i++)
		if (index(leaves[lagg, i], prefix "dropped.") == 1) sum += of(leaves[lagg, i])
	return sum
}
function word(severity) { return severity == 0 ? paint("32", "good") : severity == 1 ? paint("33", "degraded") : paint("31", "down") }
function system_id(who) { return sprintf("%5d %s key %d", of("lacp." who ".priority"), of("lacp." who ".system"), of("lacp." who ".key")) }

function screen(name,    i, lacp, wide, reason) {
	lagg = name
	lacp = of("protocol") == "lacp"
	printf "%s  %s  %s  %d of %d ports in service  %sb/s\n", plain(lagg), of("protocol"), word(level[lagg]), of("active_ports"), of("ports"), speed(number("speed"))
	if (number("min_links")) print "  least    " of("min_links") " ports in service (min_links)"
	if (lacp && has("lacp.actor.system")) printf "  we       %s\n  partner  %s\n", system_id("actor"), system_id("partner")
	if (of("last_change") != "") printf "  last     %s ago: %s\n", ago(of("last_change_age")), of("last_change")
	wide = 4
	for (i = 1; i <= port_count[lagg]; i++) if (length(plain(ports[lagg, i])) > wide) wide = length(plain(ports[lagg, i]))
	if (port_count[lagg]) row(wide, lacp, "PORT", "STATE", "SPEED", "SHARE", "IN", "OUT", "LAST", "FLAPS", "DROPS")
	for (i = 1; i <= port_count[lagg]; i++) {
		port = ports[lagg, i]
		reason = at_port("reason")
		row(wide, lacp, plain(port), reason == "" ? "in service" : reason, speed(port_number("speed")), share(), short(port_number("lacp.pdus_in")), short(port_number("lacp.pdus_out")), ago(at_port("lacp.pdu_age")), short(port_number("flaps")), short(drops("port." port ".")))
	}
	for (i = 1; i <= problem_count[lagg]; i++) wrap(problems[lagg, i])
}
# wrap TEXT: prints it in lines of at most 80 columns
function wrap(text,    words, count, i, line) {
	count = split(text, words, " ")
	line = words[1]
	for (i = 2; i <= count; i++) {
		if (length(line) + length(words[i]) > 76) {
			print "  " paint("33", line)
			line = "  " words[i]
		} else line = line " " words[i]
	}
	print "  " paint("33", line)
}
function share() { return of("protocol") ~ /lacp|loadbalance/ ? int(at_port("buckets") * 100 / 1024 + 0.5) "%" : "-" }
function row(wide, lacp, name, state, rate, part, heard, said, last, flaps, dropped) {
	printf "%-" wide "s %-15s %5s %5s", name, state, rate, part
	if (lacp) printf " %6s %6s %4s", heard, said, last
	printf " %5s %5s\n", flaps, dropped
}

function check(name,    i, all) {
	lagg = name
	for (i = 1; i <= problem_count[lagg]; i++) all = all (i > 1 ? "; " : "") problems[lagg, i]
	printf "%s %s: %d of %d ports in service%s\n", toupper(word(level[lagg])), plain(lagg), of("active_ports"), of("ports"), (all == "" ? "" : ": " all)
}

# ---- for programs ----

# Leaves that are text, whatever is in them
function is_text(leaf) {
	sub(/^port\.[^.]*\./, "", leaf)
	return leaf ~ /^(protocol|reason|last_change|last_flap|primary|primary_reselect|active|port_priority)$/ || leaf ~ /^lacp\.(system_id|select|fallback|mux|receive|.*\.system)$/
}
function is_number(leaf) { return !is_text(leaf) && of(leaf) ~ /^[0-9]+$/ }
function quote(text) { gsub(/["\\]/, "\\\\&", text); return "\"" text "\"" }

function json(    i, j) {
	printf "{\"version\":1,\"driver\":%s,\"laggs\":[", quote(driver)
	for (i = 1; i <= lagg_count; i++) {
		lagg = laggs[i]
		printf "%s{\"name\":%s,\"state\":\"%s\"", (i > 1 ? "," : ""), quote(plain(lagg)), word(level[lagg])
		for (j = 1; j <= leaf_count[lagg]; j++) plant(leaves[lagg, j])
		object("")
		list_ports()
		printf ",\"problems\":["
		for (j = 1; j <= problem_count[lagg]; j++) printf "%s%s", (j > 1 ? "," : ""), quote(problems[lagg, j])
		printf "]}"
	}
	print "]}"
}
# plant LEAF: below its nodes, each of which has its children in order
function plant(leaf,    i, count, names, node, above) {
	count = split(leaf, names, ".")
	for (i = 1; i <= count; i++) {
		above = node
		node = (above == "" ? "" : above ".") names[i]
		if ((lagg, node) in planted) continue
		planted[lagg, node]
		child[lagg, above, ++children[lagg, above]] = names[i]
	}
}
# object NODE: members for all that is below it; ports have a list of their own
function object(node,    i, name, below) {
	for (i = 1; i <= children[lagg, node]; i++) {
		name = child[lagg, node, i]
		below = (node == "" ? "" : node ".") name
		if (below == "port" || below == "ports") continue
		printf "%s%s:", (opened ? "" : ","), quote(name)
		if (has(below)) printf "%s", is_number(below) ? of(below) : quote(of(below))
		else {
			printf "{"
			opened = 1
			object(below)
			printf "}"
		}
		opened = 0
	}
}
function list_ports(    i) {
	printf ",\"ports\":["
	for (i = 1; i <= port_count[lagg]; i++) {
		printf "%s{\"name\":%s", (i > 1 ? "," : ""), quote(plain(ports[lagg, i]))
		object("port." ports[lagg, i])
		printf "}"
	}
	printf "]"
}

# The names of prometheus_sysctl_exporter(8): nodes that are labels are left out of them.
function prometheus(name,    i, leaf, labels, parts, count) {
	lagg = name
	for (i = 1; i <= leaf_count[lagg]; i++) {
		leaf = leaves[lagg, i]
		if (!is_number(leaf)) continue
		labels = "lagg=" quote(plain(lagg))
		if (leaf ~ /^port\./) {
			split(leaf, parts, ".")
			labels = labels ",port=" quote(plain(parts[2]))
			sub(/^port\.[^.]*/, "port", leaf)
		}
		if (leaf ~ /(dropped|illegal)\./) {
			count = split(leaf, parts, ".")
			labels = labels ",reason=" quote(parts[count])
			sub(/\.[^.]*$/, "", leaf)
		}
		gsub(/\./, "_", leaf)
		# All of a metric are together in the text format.
		printf "sysctl_net_link_lagg_iface_%s{%s} %s\n", leaf, labels, of(leaves[lagg, i]) | "sort"
	}
}
' "$@"
		status=$?
		[ $status = 4 ] || return $status
	done
}

[ "${seconds-}" ] || { report "$@"; exit; }
while text=$(report "$@"); do
	[ $colour = 0 ] || printf '\033[H\033[2J'
	printf '%s\n' "$text"
	sleep "$seconds"
done
# It has said why.
exit 3
