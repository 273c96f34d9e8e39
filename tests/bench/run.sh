#!/bin/sh
# Instructions a packet on the host backend, counted by callgrind: exact for the same binary, whatever else the
# machine does. The difference of two runs is the packets' alone.
set -eu
cd "$(dirname "$0")/../.."
. kmod/env.sh

command -v valgrind >/dev/null || { echo "bench: valgrind is missing: apt-get install valgrind" >&2; exit 1; }
"${CARGO:-cargo}" build --quiet --release --bench packets
bin=$(ls -t target/release/deps/packets-* | grep -v '\.d$' | head -n 1)

packets=20000

# instructions PATH COUNT
instructions() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bin" "$1" "$2" 2>&1 |
	    sed -n 's/.*Collected : //p'
}

# a_packet PATH: tenths of instructions
a_packet() {
	echo $((($(instructions "$1" $((2 * packets))) - $(instructions "$1" $packets)) * 10 / packets))
}

bare=$(a_packet bare)
printf '%-24s %10s %10s\n' "transmit, 2 ports" "a packet" "lagg's own"
printf '%-24s %8d.%d %10s\n' "no lagg" $((bare / 10)) $((bare % 10)) ""
for protocol in failover roundrobin loadbalance broadcast; do
	total=$(a_packet $protocol)
	own=$((total - bare))
	printf '%-24s %8d.%d %8d.%d\n' $protocol $((total / 10)) $((total % 10)) $((own / 10)) $((own % 10))
done
