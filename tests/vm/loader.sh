#!/bin/sh
# The loader loads the module and sets what loader.conf(5) says, and rc(8) makes the lagg. For that the machine starts again:
# make vm IMAGE=… VM_SUITE=loader. The runner's second disk has this script then too.
. ./lib.sh

files='/etc/rc.conf /etc/start_if.lagg0'

# What an administrator does. The second start comes back here, by the root's own rc(8) or by rc.local(8).
prepare() {
	install_all
	cat >>/boot/loader.conf <<-END
		if_lagg_rs_load="YES"
		net.link.lagg.default_min_links="2"
	END
	cat >/etc/rc.conf <<-END
		cloned_interfaces="epair0 epair1 lagg0"
		ifconfig_epair0a="up"
		ifconfig_epair1a="up"
		ifconfig_lagg0="laggproto failover laggport epair0a laggport epair1a $HOST_IP/24"
	END
	echo 'sysctl net.link.lagg.iface.lagg0.primary=epair1a' >/etc/start_if.lagg0
	cat >/etc/rc.local <<-'END'
		mkdir -p /tmp/vm; mount -t tmpfs tmpfs /tmp/vm; tar -xf /dev/vtbd1 -C /tmp/vm
		cd /tmp/vm && sh ./run.sh
		echo "VM-VERDICT: $?"
		shutdown -p now
	END
	rm -f /firstboot
}

if ! kenv -q module_path >/dev/null; then
	skip "this system has not been started by a loader"
	exit 0
fi
if ! kenv -q if_lagg_rs_load >/dev/null; then
	echo 'the machine starts again'
	prepare && reboot -q
	sleep 60
	exit 1
fi
echo "== loader: $LAGG_KO"
trap finish EXIT
at_rest=$(in_use)

rc() { service "$@" </dev/null; }
leaf_is() { [ "$(leaf "$1")" = "$2" ]; }
has_lagg() { has lagg0 "inet $HOST_IP " && has lagg0 'laggport: epair0a' && has lagg0 'laggport: epair1a'; }

check "the loader has loaded it" loaded_from /boot/modules/if_lagg_rs.ko
check "what loader.conf sets holds" [ "$(sysctl -n net.link.lagg.default_min_links)" = 2 ]
# A root made for tests does no more than run this.
has_lagg >/dev/null 2>&1 || check "rc(8)" rc netif start
check "the lagg of rc.conf is there" wait_for 10 has_lagg
check "the default of loader.conf is its own" leaf_is min_links 2
check "start_if has set its primary" leaf_is primary epair1a
check "kldunload refuses while there is a lagg" not kldunload if_lagg_rs
check "stop" rc netif stop lagg0
check "unload what the loader has loaded" kldunload if_lagg_rs
check "nothing is left of it" none_in_use
check "load it by its name" kldload if_lagg_rs
check "what loader.conf sets still holds" [ "$(sysctl -n net.link.lagg.default_min_links)" = 2 ]
check "start" rc netif start lagg0
check "the lagg is there again" wait_for 10 has_lagg
check "stop again" rc netif stop lagg0
check "unload" kldunload if_lagg_rs
check "deinstall" deinstall_all
refuses "it cannot be loaded" 'No such file' kldload if_lagg_rs
check "start without it" rc netif start lagg0
check "ifconfig(8) has loaded C lagg" loaded_from "$C_KO"
check "the lagg is C lagg's" wait_for 10 has_lagg
