#!/bin/sh
# kmod/link.sh ARCH MODULE OBJECT...: links a kernel module as FreeBSD's sys/conf/kmod.mk does.
set -eu
. "$(dirname "$0")/env.sh"
script=$(dirname "$0")/kmod.ld

arch=$1
module=$2
shift 2
# Nothing is exported. Symbols are kept for backtraces.
localize="--keep-global-symbol=none --strip-debug"
case $arch in
amd64)
	"$LLD" -m elf_x86_64 -r -T "$script" -o "$module" "$@"
	"$OBJCOPY" $localize "$module"
	;;
arm64)
	# Before the final link, so that it makes no PLT entries for calls inside. Relaxing would undo the GOT loads of
	# VNET variables, which are what the kernel redirects.
	"$LLD" -m aarch64elf -r -o "$module.kld" "$@"
	"$OBJCOPY" $localize "$module.kld"
	"$LLD" -m aarch64elf -Bshareable -znotext -znorelro --no-relax -o "$module" "$module.kld"
	rm "$module.kld"
	;;
esac
