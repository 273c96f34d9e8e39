# Sourced by the scripts of this directory, which run one after the other, as root, in a virtual machine of their own.
#
# LAGG_KO   the module to test: ours, or /boot/kernel/if_lagg.ko to see what C lagg does
# If C lagg is known to fail a check, the check's name ends in the D- or F-number, and its failure is expected there.

LAGG_KO=${LAGG_KO:-$PWD/if_lagg_rs.ko}
MODULE=$(basename "$LAGG_KO" .ko)
C_KO=${C_KO:-/boot/kernel/if_lagg.ko}
JAIL=lagg_peer
HOST_IP=192.0.2.1
JAIL_IP=192.0.2.2

work=$(mktemp -d /tmp/lagg.XXXXXX)
passed=0 failed=0 expected=0 skipped=0 stuck=

# What would only crash the machine with C lagg is left out there.
is_c() { [ "$MODULE" = if_lagg ]; }

ok() {
	passed=$((passed + 1))
	echo "ok   $*"
}

# fail NAME: reports a failure, and shows what the command printed
fail() {
	if is_c && expr "$*" : '.*([DF]-[0-9]' >/dev/null; then
		expected=$((expected + 1))
		echo "XFAIL $*"
	else
		failed=$((failed + 1))
		echo "FAIL $*"
	fi
	[ ! -s "$work/out" ] || sed 's/^/     /' "$work/out"
}

skip() {
	skipped=$((skipped + 1))
	echo "SKIP $*"
}

# check NAME COMMAND...: succeeds
check() {
	name=$1
	shift
	if "$@" >"$work/out" 2>&1; then ok "$name"; else fail "$name"; fi
}

# refuses NAME WORDS COMMAND...: fails, and prints WORDS
refuses() {
	name=$1 words=$2
	shift 2
	if "$@" >"$work/out" 2>&1; then
		echo "not refused" >>"$work/out"
		fail "$name"
	elif grep -q "$words" "$work/out"; then
		ok "$name"
	else
		fail "$name"
	fi
}

not() { ! "$@"; }

# wait_for SECONDS COMMAND...: until it succeeds
wait_for() {
	limit=$(($(date +%s) + $1))
	shift
	until "$@"; do
		if [ "$(date +%s)" -ge "$limit" ]; then
			echo "in vain: $*"
			return 1
		fi
		sleep 0.1
	done
}

loaded() { kldstat -q -m if_lagg; }
loaded_from() { kldstat -v | grep -q "($1)"; }

# What `make install` and `make deinstall` do, which this system may lack: the runner has made the tree.
installed() { (cd installed && find . -type f); }
install_all() {
	for file in $(installed); do
		mkdir -p "/$(dirname "$file")" && cp -p "installed/$file" "/$file" || return
	done
	kldxref /boot/modules
}
deinstall_all() {
	(cd / && rm $(cd "$OLDPWD" && installed)) && kldxref /boot/modules
}

# -n: otherwise ifconfig would load the system's if_lagg.ko by its name
ifc() { ifconfig -n "$@"; }

has() { ifconfig -n "$1" 2>&1 | grep -q -- "$2"; }
hasnt() { ! has "$@"; }

# leaf LEAF [LAGG]: its value
leaf() { sysctl -n net.link.lagg.iface."${2:-lagg0}.$1"; }
# leaves PATTERN [LAGG]: the sum of those whose names match
leaves() {
	sysctl net.link.lagg.iface."${2:-lagg0}" |
		awk -v start="net.link.lagg.iface.${2:-lagg0}." -v pattern="$1" \
		    'substr($1, length(start) + 1) ~ pattern { n += $2 } END { printf "%.0f\n", n }'
}

# The index of an interface
index() { netstat -I "$1" -n | sed -n 's/.*<Link#\([0-9]*\)>.*/\1/p'; }

is_up() { ifconfig -n "$1" | grep -q 'flags=.*<UP[,>]'; }

gone() { ! ifconfig -n "$1" >/dev/null 2>&1; }

# The number of allocations of malloc's type lagg; 0 also if the type is unknown
in_use() { vmstat -m | awk '$1 == "lagg" { n = $2 } END { print n + 0 }'; }
# At rest: without a lagg the module has what it was loaded with, and nothing is left once it is unloaded.
none_in_use() {
	n=$(in_use) rest=$at_rest
	loaded || rest=0
	[ "$n" -le "$rest" ] || { vmstat -m | grep -w lagg; return 1; }
}

# cables N: N epairs; their a ends are P0, P1, … here, their b ends Q0, Q1, … in a jail with its own network stack
cables() {
	kldload -n if_epair
	jail -i -c name=$JAIL vnet persist >/dev/null || return
	n=0
	while [ $n -lt "$1" ]; do
		a=$(ifconfig epair create) || return
		b=${a%a}b
		eval "P$n=$a Q$n=$b"
		ifconfig "$a" up
		ifconfig "$b" vnet $JAIL || return
		jexec $JAIL ifconfig "$b" up
		n=$((n + 1))
	done
	# Floods must not be limited.
	sysctl -q net.inet.icmp.icmplim=0 >/dev/null
	jexec $JAIL sysctl -q net.inet.icmp.icmplim=0 >/dev/null
}
there() { jexec $JAIL ifconfig -n "$@"; }

# network [N]: N cables (2), their ends in the jail bridged
network() {
	kldload -n if_bridge
	cables "${1:-2}" || return
	bridge=$(jexec $JAIL ifconfig bridge create) || return
	n=0
	while [ $n -lt "${1:-2}" ]; do
		eval "jexec $JAIL ifconfig $bridge addm \$Q$n"
		n=$((n + 1))
	done
	jexec $JAIL ifconfig "$bridge" $JAIL_IP/24 up
}

reaches() { ping -q -n -c 1 -W 1000 ${1:-$JAIL_IP} >/dev/null; }

# flow NAME PROGRAM...: runs it in the background until the clean-up, with its output in
# $work/flow.NAME
flow() {
	log=$work/flow.$1
	shift
	"$@" >"$log" 2>&1 </dev/null &
	echo $! >>"$work/flows"
}

stop_flows() {
	[ -f "$work/flows" ] || return 0
	for pid in $(cat "$work/flows"); do
		kill "$pid" 2>/dev/null
		wait "$pid"
	done
	rm -f "$work/flows"
}

# again NAME COMMAND...: runs it repeatedly until `stop_loops`, whether it fails or not. Rounds are
# counted in $work/NAME.
again() {
	loop=$work/$1
	shift
	: >"$loop"
	(while [ ! -e "$work/stop" ]; do
		"$@" >/dev/null 2>&1
		echo . >>"$loop"
	done) &
	echo $! >>"$work/loops"
}

rounds() { wc -l <"$work/$1" | tr -d ' '; }

loops_ended() {
	for pid in $(cat "$work/loops"); do
		! kill -0 "$pid" 2>/dev/null || return 1
	done
}

# A loop that does not end is a deadlock: print where it hangs, and touch nothing more.
stop_loops() {
	: >"$work/stop"
	if wait_for "${1:-120}" loops_ended; then
		rm -f "$work/stop" "$work/loops"
		return 0
	fi
	stuck=1
	ps -axHo pid,lwp,wchan,command | grep '[i]fconfig'
	procstat -kka | grep -E 'ifconfig|lagg|taskq swi'
	return 1
}

load() { loaded || kldload "$LAGG_KO"; }

all_of_group() { ifconfig -g "$1" 2>/dev/null; }

# traffic_ports N: ports lgt0 and up of lagg_traffic.ko (traffic/traffic.h)
traffic_ports() {
	if [ ! -f "$PWD/lagg_traffic.ko" ]; then
		skip "no lagg_traffic.ko: make vm-modules builds it"
		exit 0
	fi
	kldload -n "$PWD/lagg_traffic.ko" || exit 1
	sysctl -q kern.lagg_traffic.ports="$1" >/dev/null || exit 1
	ports=$(n=0; while [ $n -lt "$1" ]; do printf 'lgt%s ' $n; n=$((n + 1)); done)
	# A lagg of them sends nothing of its own.
	sysctl -q net.inet6.ip6.auto_linklocal=0 >/dev/null
}

# infiniband_ports N: interfaces ibt0 and up of lagg_infiniband.ko (infiniband/infiniband.c)
infiniband_ports() {
	if [ ! -f "$PWD/lagg_infiniband.ko" ]; then
		skip "no lagg_infiniband.ko: make vm-modules builds it"
		exit 0
	fi
	kldload -n "$PWD/lagg_infiniband.ko" && sysctl -q kern.lagg_infiniband.ports="$1" >/dev/null || exit 1
}

# Removes everything that a script has made.
clean() {
	stop_flows
	kldunload lagg_traffic 2>/dev/null
	kldunload lagg_infiniband 2>/dev/null
	for group in vlan lagg bridge epair tap; do
		for i in $(all_of_group $group); do
			case $i in epair*b) continue ;; esac
			ifconfig -n "$i" destroy 2>/dev/null
		done
	done
	jail -r $JAIL 2>/dev/null
	wait_for 30 not jls -d -j $JAIL >/dev/null 2>&1
}

# There is no lock order report that names lagg. WITNESS remembers all reports, including those of C
# lagg (its lock is "if_lagg sx") from compare.sh.
witness() {
	if [ "$(sysctl -n debug.witness.watch 2>/dev/null)" != 1 ]; then
		skip "$1: no lock order report names lagg (this kernel has no WITNESS)"
		return
	fi
	if is_c; then others='^$'; else others='"if_lagg sx"'; fi
	# Blocks of the report are separated by empty lines.
	sysctl -n debug.witness.badstacks |
		awk -v others="$others" 'BEGIN { RS = ""; ORS = "\n\n" } tolower($0) ~ /lagg/ && $0 !~ others' >"$work/out"
	if [ -s "$work/out" ]; then fail "$1: no lock order report names lagg (D-17)"; else ok "$1: no lock order report names lagg"; fi
}

leaks() { dmesg | grep -E 'memory type lagg.* leaked'; }

begin() {
	echo "== $(basename "$0" .sh): $LAGG_KO"
	trap finish EXIT
	trap 'exit 1' INT TERM
	clean
	load || exit 1
	at_rest=$(in_use)
}

# Ends every script: removes what is left, and checks that the module has kept nothing.
finish() {
	status=$?
	trap - EXIT
	[ "$status" = 0 ] || fail "the script ended early"
	[ ! -f "$work/loops" ] || stop_loops
	if [ -n "$stuck" ]; then
		echo "$passed passed, $failed failed: stuck"
		exit 99
	fi
	stop_flows
	clean
	check "nothing in use of malloc's type lagg (F-9)" wait_for 10 none_in_use
	witness "$(basename "$0" .sh)"
	echo "$(basename "$0" .sh): $passed passed, $failed failed, $skipped skipped$(! is_c || echo ", $expected failed as expected")"
	rm -rf "$work"
	[ $failed = 0 ]
	exit $?
}
