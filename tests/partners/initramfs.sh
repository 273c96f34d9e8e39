#!/bin/sh
# initramfs.sh KERNEL FILE [MODULES]: makes FILE, the initial file system of a virtual machine that runs the kernel unpacked in
# KERNEL, with these modules beside its own. Its first process runs the commands that come over its console, a line each, and
# says there what they say and return.
set -eu
kernel=$1
file=$2
# In the order in which they need each other
modules="llc stp bridge tls bonding team team_mode_loadbalance team_mode_activebackup failover net_failover virtio_ring
virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console virtio_net ${3:-}"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/dev" "$root/modules" "$root/proc" "$root/run" "$root/sys" "$root/var"
ln -s /run "$root/var/run"
for module in $modules; do
	find "$kernel/lib/modules" -name "$module.ko" -exec cp {} "$root/modules" \;
done
cp "$(command -v busybox)" "$root/bin"
for program in ip teamd teamdctl teamnl; do
	path=$(command -v $program)
	cp "$path" "$root/bin"
	ldd "$path" | grep -o '/[^ ]*'
done | sort -u | while read -r library; do
	mkdir -p "$root${library%/*}"
	cp -L "$library" "$root$library"
done

cat >"$root/init" <<END
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for module in $(echo $modules); do
	insmod /modules/\$module.ko
done
exec 0<>/dev/vport0p1 >&0 2>&0
echo ready
# Its own ip, not busybox's
ip() { /bin/ip "\$@"; }
while read -r line; do
	eval "\$line" </dev/null
	echo "= \$?"
done
END
chmod +x "$root/init"
(cd "$root" && find . | busybox cpio -o -H newc) >"$file" 2>/dev/null
