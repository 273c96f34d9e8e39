#!/usr/libexec/atf-sh
# Unloading the module

. $(atf_get_srcdir)/lagg.subr

# Finds the file that is loaded, to load it again. Skips if the machine has other laggs.
unload_init()
{
	lagg_init ${1:-0}
	[ -z "$(ifconfig -g lagg)" ] || atf_skip "This test requires that there are no laggs"
	kldstat -v | sed -n 's/.* \(if_lagg[^ ]*\)\.ko (\(.*\))$/\1 \2/p' >module
	read module path <module
	[ -f "$path" ] || atf_skip "This test requires lagg as a module"
}

unload_cleanup()
{
	lagg_cleanup
	[ ! -f module_path ] || sysctl kern.module_path="$(cat module_path)"
	[ -f module ] || return 0
	read module path <module
	if ! kldstat -v | grep -qF "($path)"; then
		# It may be loaded from elsewhere by this case, or not loaded.
		kldunload if_lagg_rs || kldunload if_lagg
		kldload $path
	fi
}

atf_test_case refused cleanup
refused_head()
{
	atf_set descr "The module cannot be unloaded while there is a lagg"
}
refused_body()
{
	unload_init
	c_fails D-19
	atf_check $near ifconfig lagg0 create up
	atf_check -s not-exit:0 -e match:busy kldunload $module
	atf_check -o match:'laggproto failover' $near ifconfig lagg0
	atf_check $near ifconfig lagg0 destroy
	atf_check kldunload $module
	kldstat -q -m if_lagg && atf_fail "it is still there"
	atf_check kldload $path
}
refused_cleanup()
{
	unload_cleanup
}

atf_test_case refused_under_traffic cleanup
refused_under_traffic_head()
{
	atf_set descr "Nor under traffic, of which nothing is lost"
}
refused_under_traffic_body()
{
	c_panics D-19
	unload_init 2
	lagg_pair lacp
	traffic 20
	flood
	atf_check -s not-exit:0 -e match:busy kldunload $module
	loses_nothing
	atf_check $near ifconfig lagg0 destroy
	atf_check -s not-exit:0 -e match:busy kldunload $module
	atf_check $far ifconfig lagg0 destroy
	atf_check kldunload $module
	atf_check kldload $path
	lagg_pair lacp
	traffic 20
}
refused_under_traffic_cleanup()
{
	unload_cleanup
}

atf_test_case again cleanup
again_head()
{
	atf_set descr "What was loaded, used and unloaded can be loaded again, and leaves no memory in use"
}
again_body()
{
	local n

	unload_init 2
	for n in 1 2 3; do
		lagg_pair lacp
		traffic 20
		# One port departs, and two stay.
		make_link lagg_near lagg_far
		atf_check $near ifconfig lagg0 laggport ${link}a
		atf_check $near ifconfig ${link}a destroy
		atf_check $near ifconfig lagg0 destroy
		atf_check $far ifconfig lagg0 destroy
		atf_check kldunload $module
		# -n: ifconfig(8) would load the system's.
		atf_check -s not-exit:0 -e ignore ifconfig -n lagg0 create
		vmstat -m | grep -w lagg && atf_fail "malloc's type is still there"
		atf_check kldload $path
	done
	c_fails F-9
	dmesg | grep 'memory type lagg.*leaked' && atf_fail "memory has leaked"
	true
}
again_cleanup()
{
	unload_cleanup
}

atf_test_case race cleanup
race_head()
{
	atf_set descr "Against laggs that are made and destroyed, unloading is refused or clean"
}
race_body()
{
	local gone n

	c_panics D-19
	unload_init 2
	while true; do
		$near ifconfig -n lagg0 create $near_ports $near_ip/24 up
		$near ifconfig -n lagg0 destroy
	done >/dev/null 2>&1 &
	echo $! >>pids
	n=0 gone=0
	while [ $n -lt 30 ]; do
		if kldunload $module 2>said; then
			gone=$((gone + 1))
			atf_check kldload $path
		else
			atf_check -o match:busy cat said
		fi
		n=$((n + 1))
	done
	echo "unloaded $gone times of $n"
}
race_cleanup()
{
	unload_cleanup
}

atf_test_case by_name cleanup
by_name_head()
{
	atf_set descr "The name if_lagg, as ifconfig(8) uses it, means the file in the first directory of kern.module_path that has one"
}
by_name_body()
{
	local system

	ours || atf_skip "This test is about if_lagg_rs.ko"
	unload_init
	system=$(sysctl -n kern.module_path)
	[ -f /boot/kernel/if_lagg.ko ] || atf_skip "This test requires /boot/kernel/if_lagg.ko"
	mkdir modules
	cp "$path" modules/
	atf_check -o ignore kldxref $PWD/modules
	echo "$system" >module_path
	atf_check -o ignore sysctl kern.module_path="$PWD/modules;$system"
	atf_check kldunload $module
	atf_check -o ignore ifconfig lagg999 create
	atf_check -o ignore kldstat -n if_lagg_rs
	atf_check ifconfig lagg999 destroy
	atf_check kldunload $module
	atf_check -o ignore sysctl kern.module_path="$system;$PWD/modules"
	atf_check -o ignore ifconfig lagg999 create
	atf_check -o ignore kldstat -n if_lagg
	atf_check ifconfig lagg999 destroy
	# Loading ours as well is refused, also by its file's name.
	atf_check -s not-exit:0 -e match:'File exists|already loaded' kldload if_lagg_rs
	atf_check kldunload if_lagg
	atf_check kldload if_lagg_rs
	atf_check -o ignore kldstat -n if_lagg_rs
}
by_name_cleanup()
{
	unload_cleanup
}

atf_init_test_cases()
{
	atf_add_test_case refused
	atf_add_test_case refused_under_traffic
	atf_add_test_case again
	atf_add_test_case race
	atf_add_test_case by_name
}
