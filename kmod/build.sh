#!/bin/sh
# kmod/build.sh ARCH         builds build/ARCH/if_lagg_rs.ko. ARCH is amd64 or arm64.
# kmod/build.sh ARCH object  stops at build/ARCH/lagg_rs.o, its Rust.
# kmod/build.sh ARCH clippy  lints its Rust.
# kmod/build.sh ARCH c MODULE SOURCE...  builds build/ARCH/MODULE.ko, all C, the same way.
# SYSDIR       the kernel's source; on FreeBSD /usr/src/sys. Elsewhere it may be empty: then the headers are fetched ones,
# FREEBSD      of release 15, or of 14, which builds in build/ARCH-freebsd14.
# KERNCONFDIR  where the kernel was built, with its options in opt_*.h. Without it they are GENERIC's.
# VENDOR       the crates that kmod/crates.py lists, to build without a network. vendor/ is taken if it is there.
# KASAN=1, KCSAN=1  for a kernel with that option, which watches the module too: in build/ARCH-kasan, -kcsan.
set -eu
cd "$(dirname "$0")/.."
. kmod/env.sh
# The flags are the kernel's, whatever the environment has for other programs.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CFLAGS TARGET_CFLAGS CPATH C_INCLUDE_PATH
unset $(env | sed -nE 's/^((CARGO_(PROFILE|BUILD|TARGET|UNSTABLE)_|CARGO_INCREMENTAL|BINDGEN_EXTRA)[A-Za-z0-9_]*)=.*/\1/p')

# How the target is to differ from Rust's own
edit=
arch=$1
case $arch in
amd64)
	target=x86_64-unknown-none
	cpu=x86_64
	# The code model reaches the top 2 GB, where modules are; calls go by PLT32, which the kernel's linker resolves.
	flags="-Ccode-model=kernel -Crelocation-model=static -Zplt=yes"
	shadow=0xdffff7c000000000
	cflags="-mcmodel=kernel -mno-red-zone -mno-mmx -mno-sse -msoft-float -mno-aes -mno-avx"
	;;
arm64)
	target=aarch64-unknown-none-softfloat
	cpu=aarch64
	# x18 holds the kernel's per-CPU pointer. Modules are shared objects.
	flags="-Crelocation-model=pic -Zfixed-x18=yes -Zbranch-protection=bti,pac-ret"
	# Words need not be aligned in the kernel's own C either. Rust would load those of a packet byte by byte.
	edit='s/+strict-align,//'
	shadow=0xdfff208000000000
	cflags="-mgeneral-regs-only -ffixed-x18 -mbranch-protection=standard"
	cflags="$cflags -mno-outline-atomics -fPIC"
	;;
*)
	echo "ARCH=$arch: amd64 and arm64 are the architectures" >&2
	exit 1
	;;
esac
# A packet should find its function at the beginning of a cache line. rustc aligns statics like functions, and KASAN leaves
# out what is aligned more than to 32.
[ "${KASAN:-}" ] || flags="$flags -Zmin-function-alignment=64"
flags="$flags -Zunstable-options -Cforce-frame-pointers=non-leaf -Cforce-unwind-tables=no -Csymbol-mangling-version=v0"
# The same source makes the same module, wherever it, its crates and Rust's own source are. Of prefixes that match, the
# last holds. cargo names the directory of crates.io's crates so everywhere.
sysroot=$("${RUSTC:-rustc}" --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
flags="$flags --remap-path-prefix=$PWD=. --remap-path-prefix=$cargo_home=cargo"
flags="$flags --remap-path-prefix=$cargo_home/registry/src/index.crates.io-1949cf8c6b5b557f=crates"
flags="$flags --remap-path-prefix=$sysroot/lib/rustlib/src/rust=rust"

# The release that it is for
out=build/$arch
variant=
[ "$(uname -s)" != FreeBSD ] || SYSDIR=${SYSDIR:-/usr/src/sys}
if [ "${SYSDIR:-}" ]; then
	# Links in other directories lead there.
	SYSDIR=$(cd "$SYSDIR" && pwd)
	version=$(sed -n 's/^#define __FreeBSD_version \([0-9]*\).*/\1/p' "$SYSDIR/sys/param.h")
else
	FREEBSD=${FREEBSD:-15}
	[ "$FREEBSD" = 15 ] || variant=-freebsd$FREEBSD
	out=$out$variant
	version=$(sed -n 's/^# __FreeBSD_version //p' "kmod/headers-$FREEBSD.txt")
fi
if [ ${#version} != 7 ]; then
	echo "${SYSDIR:-kmod/headers-$FREEBSD.txt} does not say which version of FreeBSD it is" >&2
	exit 1
fi
cflags="$cflags --target=$cpu-unknown-freebsd${version%?????}"

# The flags of the kernel's own build (sys/conf/kern.mk, kmod.mk) that change code or layout.
cflags="$cflags -std=gnu17 -O2 -pipe -nostdinc -D_KERNEL -DKLD_MODULE -DHAVE_KERNEL_OPTION_HEADERS -include opt_global.h"
cflags="$cflags -ffreestanding -fwrapv -fno-strict-aliasing -fno-common -fstack-protector -fno-omit-frame-pointer"
cflags="$cflags -mno-omit-leaf-frame-pointer -fno-asynchronous-unwind-tables -fno-unwind-tables"
cflags="$cflags -D__printf__=__freebsd_kprintf__"

# A kernel with KASAN or KCSAN watches what the module does. The options are those of sys/conf/kern.mk.
sanitizer=
sanitizer_cflags=
rust_options=
target_flags="--target $target"
case ${KASAN:+kasan}${KCSAN:+kcsan} in
kasan)
	sanitizer=kasan
	instrument=kernel-address
	options="-asan-stack=true -asan-instrument-dynamic-allocas=true -asan-globals=true -asan-use-after-scope=true"
	options="$options -asan-instrumentation-with-call-threshold=0 -asan-instrument-byval=false -asan-use-stack-safety=0"
	# Rust's target would get Linux's.
	options="$options -asan-mapping-offset=$shadow"
	cflags="$cflags -DKASAN=1"
	;;
kcsan)
	sanitizer=kcsan
	instrument=thread
	# The kernel has no functions for such atomics: its own are watched by macros.
	options=-tsan-instrument-atomics=false
	# Rust looks by volatile reads at what the kernel writes without a lock: these are no races either.
	rust_options=-tsan-distinguish-volatile
	cflags="$cflags -DKCSAN=1"
	;;
kasankcsan)
	echo "KASAN and KCSAN: a kernel has one of them at most" >&2
	exit 1
	;;
esac
if [ "$sanitizer" ]; then
	# Not for the bindings: Rust sees the kernel's functions by their own names.
	sanitizer_cflags="-DSAN_NEEDS_INTERCEPTORS -DSAN_INTERCEPTOR_PREFIX=$sanitizer -DLAGG_RS_MISTAKES -fsanitize=$instrument"
	flags="$flags -Zsanitizer=$instrument --cfg lagg_mistakes"
	for option in $options; do
		sanitizer_cflags="$sanitizer_cflags -mllvm $option"
	done
	for option in $options $rust_options; do
		flags="$flags -Cllvm-args=$option"
	done
	# Rust's own target knows no ThreadSanitizer.
	edit="$edit;s/\"kernel-address\"/&, \"thread\"/"
	out=$out-$sanitizer
fi
if [ "$edit$variant" ]; then
	# A target of another name is built in a directory of its own.
	mkdir -p target/specifications
	name=$arch-${sanitizer:-unaligned}$variant
	specification=target/specifications/$name.json
	RUSTC_BOOTSTRAP=1 "${RUSTC:-rustc}" -Zunstable-options --print target-spec-json --target $target |
	    sed "$edit" >$specification.new
	cmp -s $specification.new $specification || mv $specification.new $specification
	target=$name
	target_flags="-Zjson-target-spec --target $specification"
fi

work=target/$target/kmod
mkdir -p "$work" "$out"

# The kernel's options are copied, because the directory of a kernel's build has headers too. cargo watches the copies.
options=${KERNCONFDIR:-sys-headers/opt}
if [ ! -f "$options/opt_global.h" ]; then
	echo "KERNCONFDIR=$options: no opt_global.h there; say where \`make buildkernel' has built the kernel," \
	    "as /usr/obj/usr/src/amd64.amd64/sys/GENERIC" >&2
	exit 1
fi
rm -rf "$work/opt.new"
mkdir "$work/opt.new"
cp "$options"/opt_*.h "$work/opt.new/"
if ! diff -r "$work/opt.new" "$work/opt" >/dev/null 2>&1; then
	rm -rf "$work/opt"
	mv "$work/opt.new" "$work/opt"
fi
cflags="$cflags -Isys-headers -I$work/opt"

if [ "${SYSDIR:-}" ]; then
	mkdir -p "$work/include"
	machine=$arch
	ln -fns "$SYSDIR/$machine/include" "$work/include/machine"
	ln -fns "$SYSDIR/x86/include" "$work/include/x86"
	ln -fns "$SYSDIR/i386/include" "$work/include/i386"
	headers="$work/include $SYSDIR $SYSDIR/contrib/ck/include"
else
	headers=build/headers-$FREEBSD
	headers="sys-headers/ck $headers/ck $headers/$cpu-freebsd-none $headers/generic-freebsd"
	cflags="$cflags -D__FreeBSD_version=$version"
fi
for directory in $headers; do
	cflags="$cflags -isystem $directory"
done
if [ "${2:-}" = c ]; then
	module=$3
	shift 3
	rm -rf "$work/$module"
	mkdir "$work/$module"
	for source; do
		object=$work/$module/$(basename "$source" .c).o
		"$CLANG" $cflags $sanitizer_cflags -Wall -Wextra -Wno-unused-parameter -Wno-pointer-sign \
		    -Wno-missing-field-initializers -Werror -c -o "$object" "$source"
	done
	exec kmod/link.sh $arch "$out/$module.ko" "$work/$module"/*.o
fi
VENDOR=${VENDOR:-vendor}
[ -d "$VENDOR" ] && flags="$flags --remap-path-prefix=$PWD/$work/vendor=crates"
KERNEL_VERSION=$version
KERNEL_CFLAGS=$cflags
KERNEL_SANITIZER=$sanitizer_cflags
KERNEL_OPTIONS=$work/opt
KERNEL_OBJECTS=$work/shim
KERNEL_CC=$CLANG
# build-std and -Z are unstable options of a stable compiler.
RUSTC_BOOTSTRAP=1
CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY=never
export CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY
export KERNEL_VERSION KERNEL_CFLAGS KERNEL_SANITIZER KERNEL_OPTIONS KERNEL_OBJECTS KERNEL_CC RUSTC_BOOTSTRAP
# These flags must reach core too.
eval "export CARGO_TARGET_$(echo $target | tr a-z- A-Z_)_RUSTFLAGS=\$flags"

# Of Cargo.lock, cargo needs what this build needs: neither the tests' crates nor userlagg's.
cargo="--locked --lib --release --no-default-features --features kernel -Zavoid-dev-deps $target_flags -Zbuild-std=core"
if [ -d "$VENDOR" ]; then
	# core's crates are looked for in the same place. Rust's source has them since 1.97, Debian's in 1.96 too.
	if [ ! -d "$sysroot/lib/rustlib/src/rust/library/vendor" ]; then
		echo "the crates of $VENDOR are not enough: Rust's source in $sysroot lacks its own, which it has since 1.97." \
		    "With a network, remove $VENDOR, and cargo fetches all" >&2
		exit 1
	fi
	rm -rf "$work/vendor"
	mkdir "$work/vendor"
	ln -s "$(cd "$VENDOR" && pwd)"/* "$work/vendor/"
	for crate in "$sysroot"/lib/rustlib/src/rust/library/vendor/*; do
		[ -e "$work/vendor/${crate##*/}" ] || ln -s "$crate" "$work/vendor/"
	done
	cargo="--offline --config source.crates-io.replace-with='vendored' --config source.vendored.directory='$work/vendor' $cargo"
fi
if [ "${2:-}" = clippy ]; then
	exec cargo clippy $cargo -- -D warnings
fi
# An archive would add compiler_builtins, so only this crate's object, with everything it uses, is linked.
[ -e "$work/lagg_rs.o" ] || touch build.rs
cargo rustc $cargo --crate-type staticlib -- --emit=obj="$work/lagg_rs.o"
if [ "$sanitizer" ]; then
	names=
	# The kernel's functions that look at what they are given: the headers name them in C, where the compiler does not.
	for name in memcpy memmove memset memcmp copyout; do
		names="$names --redefine-sym=$name=${sanitizer}_$name"
	done
	# It has none for volatile accesses, and one that does nothing.
	for size in 1 2 4 8 16; do
		for name in volatile_read volatile_write unaligned_volatile_read unaligned_volatile_write; do
			names="$names --redefine-sym=__tsan_$name$size=__tsan_func_exit"
		done
	done
	for object in "$work/lagg_rs.o" "$work"/shim/*.o; do
		"$OBJCOPY" $names "$object"
	done
fi

if [ "${2:-}" = object ]; then
	exec cp "$work/lagg_rs.o" "$out/lagg_rs.o"
fi
kmod/link.sh $arch "$work/if_lagg_rs.ko" "$work/lagg_rs.o" "$work"/shim/*.o
mv "$work/if_lagg_rs.ko" "$out/if_lagg_rs.ko"
