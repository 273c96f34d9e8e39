#!/bin/sh
# tests/vm/program.sh ARCH PROGRAM SOURCE...: builds a program for FreeBSD that is linked with nothing.
set -eu
cd "$(dirname "$0")/../.."
. kmod/env.sh

arch=$1
program=$2
shift 2
case $arch in
amd64) target=x86_64 emulation=elf_x86_64_fbsd ;;
arm64) target=aarch64 emulation=aarch64elf_fbsd ;;
esac
release=${FREEBSD:-15}
flags="--target=$target-unknown-freebsd$release -std=gnu17 -O2 -ffreestanding -fno-stack-protector -Wall -Wextra -Werror"
if [ "$(uname -s)" != FreeBSD ]; then
	flags="$flags -nostdinc -isystem build/headers-$release/$target-freebsd-none -isystem build/headers-$release/generic-freebsd"
fi
objects=$program.o
rm -rf "$objects"
mkdir -p "$objects"
for source; do
	"$CLANG" $flags -c -o "$objects/$(basename "$source" .c).o" "$source"
done
"$LLD" -m $emulation -static -o "$program" "$objects"/*.o
rm -r "$objects"
