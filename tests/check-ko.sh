#!/bin/sh
# Gates the two built modules, with the headers that they were built against.
set -eu
cd "$(dirname "$0")/.."
. kmod/env.sh
[ "$(uname -s)" != FreeBSD ] || SYSDIR=${SYSDIR:-/usr/src/sys}
variant=
if [ "${SYSDIR:-}" ]; then
	headers="--headers $SYSDIR --headers target/arm64-unaligned/kmod/include"
else
	FREEBSD=${FREEBSD:-15}
	[ "$FREEBSD" = 15 ] || variant=-freebsd$FREEBSD
	headers=
	for directory in generic-freebsd x86_64-freebsd-none aarch64-freebsd-none; do
		headers="$headers --headers build/headers-$FREEBSD/$directory"
	done
fi
exec python3 tests/check-ko $headers build/amd64$variant/if_lagg_rs.ko build/arm64$variant/if_lagg_rs.ko
