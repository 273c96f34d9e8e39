#!/bin/sh
# Gates the two built modules, with the headers that they were built against.
set -eu
cd "$(dirname "$0")/.."
. kmod/env.sh
if [ "$(uname -s)" = FreeBSD ]; then
	headers="--headers ${SYSDIR:-/usr/src/sys} --headers target/arm64-unaligned/kmod/include"
else
	headers="--headers build/headers/generic-freebsd --headers build/headers/x86_64-freebsd-none"
	headers="$headers --headers build/headers/aarch64-freebsd-none"
fi
exec python3 tests/check-ko $headers build/amd64/if_lagg_rs.ko build/arm64/if_lagg_rs.ko
