#!/bin/sh
# A kernel with KASAN or KCSAN sees what a module that is built for it does: it reports mistakes made on purpose (kmod/mistakes.c).
. ./lib.sh
begin

if ! sysctl -q debug.lagg_mistake >/dev/null; then
	skip "this module is not built for such a kernel: make KASAN=1, or KCSAN=1"
	exit 0
fi

makes() { sysctl "debug.lagg_mistake.$1=1"; }

# reports WORDS: the kernel has
reports() { dmesg | grep -q "$1"; }

# races NAME: two threads make the mistake, until they have met
races() {
	makes "race_$1" &
	makes "race_$1"
	wait $!
	reports "CSan: Racy Access.*lagg_${2}_mistake_race.*lagg_${2}_mistake_race"
}

# finds NAME WORDS FUNCTION: KASAN reports it, with the function in the backtrace. An earlier report does not count.
finds() {
	dmesg -c >/dev/null
	makes "$1" && dmesg | grep -A 9 "ASan: Invalid access, .* read at .*$2" | grep -q "lagg_$3"
}

: >"$work/out"
check "nothing is reported before" not reports 'lagg_[a-z]*_mistake'
if sysctl -q debug.kasan >/dev/null; then
	check "a read of freed memory in C" finds freed_c 'UseAfterFree' c_mistake_freed
	check "a read of freed memory in Rust" finds freed_rust 'UseAfterFree' rs_mistake_freed
	check "a read beside a variable on the stack" finds stack_rust 'Stack' rs_mistake_stack
	check "a read beside a static" finds global_rust 'RedZone' rs_mistake_global
else
	check "a race in C" wait_for 300 races c c
	check "a race in Rust" wait_for 300 races rust rs
fi
