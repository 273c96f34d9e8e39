#!/bin/sh
# A failover lagg over two links, one of which is cut while a ping runs. One scenario for both systems:
# on Linux userlagg between two network namespaces, on FreeBSD the module between two vnet jails.
# Leaves nothing behind, and fails if the ping does not go on.
set -eu
cd "$(dirname "$0")/../.."

near=laggrs$$near
far=laggrs$$far
work=$(mktemp -d)
count=60
# How many pings may be lost: those in flight when the link goes.
limit=5

if [ -t 1 ]; then
	bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else
	bold= dim= plain=
fi

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '  %s\n' "$*"; }
indent() { sed 's/^/    /'; }
fail() { echo "run: $*" >&2; exit 1; }

# --- what differs ---------------------------------------------------------------------------------

linux() {
	userlagg=${USERLAGG:-${CARGO_TARGET_DIR:-target}/release/userlagg}
	[ -x "$userlagg" ] || fail "$userlagg is not there: make userlagg"
	near() { ip netns exec "$near" "$@"; }
	far() { ip netns exec "$far" "$@"; }
	lagg() { near "$userlagg" "$@"; }
	tool=userlagg one=em0 two=em1
	lay() {
		ip netns add "$near" 2>"$work/error" || {
			cat "$work/error" >&2
			fail "network namespaces are refused here"
		}
		ip netns add "$far"
		far ip link add switch type bridge
		for i in 0 1; do
			ip link add em$i netns "$near" type veth peer name port$i netns "$far"
			far ip link set port$i master switch up
		done
		far ip addr add 192.0.2.2/24 dev switch
		far ip link set switch up
	}
	cut_link() { shown far ip link set port0 down; }
	heal_link() { shown far ip link set port0 up; }
	clean() {
		lagg lagg0 destroy
		ip netns del "$near"
		ip netns del "$far"
	}
	say "Each side is a network namespace. On the near one, userlagg runs the lagg: the driver that goes"
	say "into FreeBSD's kernel, in a process. The far one is what is at the other end of the cables: a"
	say "switch with an address."
}

freebsd() {
	module=build/$(uname -m)/if_lagg_rs.ko
	loaded=
	bridge=
	kldload -n if_epair if_bridge
	if ! kldstat -qn if_lagg_rs.ko; then
		kldstat -qm if_lagg && fail "FreeBSD's own if_lagg is loaded, or in the kernel: kldunload if_lagg"
		kldload "$module" || fail "$module does not load"
		loaded=yes
	fi
	near() { jexec "$near" "$@"; }
	far() { jexec "$far" "$@"; }
	lagg() { near ifconfig "$@"; }
	tool=ifconfig
	lay() {
		jail -c name="$near" persist vnet allow.raw_sockets
		jail -c name="$far" persist vnet allow.raw_sockets
		far ifconfig bridge create >"$work/bridge"
		bridge=$(cat "$work/bridge")
		for i in 0 1; do
			port=$(ifconfig epair create)
			ifconfig "$port" vnet "$near"
			ifconfig "${port%a}b" vnet "$far"
			near ifconfig "$port" up
			far ifconfig "${port%a}b" up
			far ifconfig "$bridge" addm "${port%a}b"
			if [ $i = 0 ]; then one=$port; else two=$port; fi
		done
		far ifconfig "$bridge" inet 192.0.2.2/24 up
	}
	cut_link() { shown near ifconfig "$one" down; }
	heal_link() { shown near ifconfig "$one" up; }
	clean() {
		lagg lagg0 destroy
		[ -z "${one:-}" ] || near ifconfig "$one" destroy
		[ -z "${two:-}" ] || near ifconfig "$two" destroy
		[ -z "$bridge" ] || far ifconfig "$bridge" destroy
		jail -r "$near"
		jail -r "$far"
		[ -z "$loaded" ] || kldunload if_lagg_rs
	}
	say "Each side is a vnet jail, the cables are epairs. On the near side is the lagg; the far one is what"
	say "is at the other end of the cables: a switch with an address."
}

# --- the same for both ----------------------------------------------------------------------------

# Shows a command on a side.
prompt() {
	side=$1
	shift
	printf '  %s%s#%s %s\n' "$dim" "$side" "$plain" "$*"
}

# Shows a command, and runs it on that side.
shown() {
	prompt "$@"
	"$@"
}

# Shows the ports of the lagg.
ports() {
	prompt near "$tool lagg0 | grep laggport:"
	lagg lagg0 | grep laggport:
}

# Waits until the lagg shows PORT with FLAGS.
until_port() {
	tries=100
	until lagg lagg0 | grep -q "laggport: $1 flags=$2"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || fail "$1 has not come to flags=$2"
		sleep 0.1
	done
}

# Waits until N answers more have come.
answers() {
	wanted=$(($(grep -c 'bytes from' "$work/ping" || true) + $1))
	tries=100
	until [ "$(grep -c 'bytes from' "$work/ping")" -ge "$wanted" ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || fail "the ping does not go on: see above"
		sleep 0.1
	done
	grep 'bytes from' "$work/ping" | tail -n 3 | indent
}

end() {
	status=$?
	trap - EXIT INT TERM
	[ -z "${ping:-}" ] || kill "$ping" 2>/dev/null || true
	[ $status = 0 ] || [ ! -s "$work/ping" ] || tail -n 5 "$work/ping" | indent
	(set +e; clean) >/dev/null 2>&1 || true
	rm -rf "$work"
	[ $status = 0 ] || printf '\n%sFAILED%s\n' "$bold" "$plain"
	exit $status
}

[ "$(id -u)" = 0 ] || fail "this needs root"

title "Two sides, two cables between them"
clean() { :; }
trap end EXIT
trap 'exit 130' INT TERM
case $(uname -s) in
Linux) linux ;;
FreeBSD) freebsd ;;
*) fail "neither Linux nor FreeBSD" ;;
esac
lay

cat <<END

                    .-- $one =============== .--.
    lagg0  --------<                            >-----  switch
    192.0.2.1       '-- $two =============== '--'       192.0.2.2
END

title "A failover lagg over both"
words="lagg0 create laggproto failover laggport $one laggport $two 192.0.2.1/24 up"
prompt near "$tool $words"
lagg $words
until_port "$one" '5<MASTER,ACTIVE>'
prompt near "$tool -v lagg0"
lagg -v lagg0 | indent
say "$one is the master: all goes over it. $two waits."

title "A ping through it, ten times a second"
prompt near "ping -i 0.1 192.0.2.2"
# There before the first look at it.
: >"$work/ping"
near ping -i 0.1 -c $count 192.0.2.2 >>"$work/ping" 2>&1 &
ping=$!
answers 10

title "The master's link goes down"
cut_link
until_port "$two" '4<ACTIVE>'
answers 10
ports
say "The ping goes on, over $two."

title "The link is there again"
heal_link
until_port "$one" '5<MASTER,ACTIVE>'
answers 10
ports
say "All goes over the master again."

title "What was lost"
wait "$ping" || true
ping=
summary=$(grep 'packets transmitted' "$work/ping") || fail "the ping has no end"
say "$summary"
got=$(echo "$summary" | sed 's/.*transmitted, \([0-9]*\).*/\1/')
lost=$((count - got))
[ $lost -le $limit ] || fail "$lost of $count are lost, more than were on the way when the link went"
! grep -q 'DUP!' "$work/ping" || fail "some came twice"
if [ $lost = 0 ]; then
	say "Nothing: no frame was on the cable when it was cut."
else
	say "$lost of $count: what was on the way when the link went."
fi
