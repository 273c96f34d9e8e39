#!/bin/sh
# rc(8) makes the lagg of rc.conf(5) as at boot, in its order: sysctl, kld, netif. It does so with this driver and with C
# lagg, to which an administrator can go back. What loader.conf(5) sets before the kernel runs, kenv(1) sets here: the
# machine may have no loader. loader.sh is for one that has.
. ./lib.sh
begin

if [ ! -x /etc/rc.d/netif ] || [ ! -f "$C_KO" ]; then
	skip "rc(8) or $C_KO is not on this system"
	exit 0
fi

files='/etc/rc.conf /etc/sysctl.conf /etc/start_if.lagg0'
for file in $files; do
	[ ! -f "$file" ] || cp "$file" "$work/"
done
network
cat >/etc/rc.conf <<-END
	kld_list="if_lagg_rs"
	cloned_interfaces="lagg0"
	ifconfig_lagg0="laggproto failover laggport $P0 laggport $P1 $HOST_IP/24"
END
echo 'net.link.lagg.default_use_flowid=1' >/etc/sysctl.conf
echo "sysctl net.link.lagg.iface.lagg0.primary=$P1 net.link.lagg.iface.lagg0.min_links=1" >/etc/start_if.lagg0

rc() { service "$@" </dev/null; }
boot() { rc sysctl start && rc kld start && rc netif start; }
default() { sysctl -n net.link.lagg.default_"$1"; }
works() {
	has lagg0 "inet $HOST_IP " && has lagg0 "laggport: $P0" && has lagg0 "laggport: $P1" && wait_for 10 reaches
}

check "install" install_all
check "unload what was tested so far" kldunload if_lagg_rs

check "boot" boot
check "kld_list has loaded it" loaded_from /boot/modules/if_lagg_rs.ko
check "the lagg works" works
check "start_if has set what ifconfig(8) cannot" [ "$(leaf primary) $(leaf min_links)" = "$P1 1" ]
check "before a port joined" has lagg0 "laggport: $P1 flags=5<MASTER,ACTIVE>"
check "sysctl.conf came before kld_list" [ "$(default use_flowid)" = 0 ]
check "its second pass is late" rc sysctl_lastload start
check "and sets it" [ "$(default use_flowid)" = 1 ]
check "restart of the lagg" rc netif restart lagg0
check "the lagg works again" works
check "with its settings" [ "$(leaf primary) $(leaf min_links)" = "$P1 1" ]
refuses "C lagg beside it" 'already loaded\|File exists' kldload "$C_KO"

check "stop" rc netif stop lagg0
check "the lagg is gone" gone lagg0
check "unload" kldunload if_lagg_rs
kenv net.link.lagg.default_min_links=2 >/dev/null
check "load by rc(8)" rc kld start
check "what loader.conf sets holds" [ "$(default min_links)" = 2 ]

check "back to C lagg: unload" kldunload if_lagg_rs
kenv -u net.link.lagg.default_min_links >/dev/null
check "back to C lagg: load" kldload "$C_KO"
check "C lagg starts, though it does not know start_if's settings" rc netif start lagg0
check "it is C lagg" loaded_from "$C_KO"
check "the lagg works with it" works
check "over again: stop" rc netif stop lagg0
check "over again: unload" kldunload if_lagg
check "over again: load" rc kld start
check "over again: start" rc netif start lagg0
check "the lagg works with ours" works

check "laggstat(8) is installed" /usr/local/sbin/laggstat lagg0
check "deinstall" deinstall_all
check "the lagg works until it is unloaded" works
check "deinstalled: stop" rc netif stop lagg0
check "deinstalled: unload" kldunload if_lagg_rs
refuses "it cannot be loaded" 'No such file' kldload if_lagg_rs
check "start without it" rc netif start lagg0
check "ifconfig(8) has loaded C lagg" loaded_from "$C_KO"
check "the lagg works without it" works
check "the end: stop" rc netif stop lagg0
check "the end: unload" kldunload if_lagg

for file in $files; do
	rm -f "$file"
	[ ! -f "$work/$(basename "$file")" ] || cp "$work/$(basename "$file")" "$file"
done
load
