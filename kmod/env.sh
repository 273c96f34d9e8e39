# Names the tools for the build's scripts and recipes, which source it. It works on Debian and on FreeBSD.

# Use one Rust for everything. The distribution's has the source of core; a rustup proxy earlier in PATH may not.
if [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ]; then
	PATH=/usr/bin:$PATH
	RUSTC=/usr/bin/rustc
	RUSTDOC=/usr/bin/rustdoc
	export PATH RUSTC RUSTDOC
fi

# tool NAME: Debian's versioned name of an LLVM tool, else the plain one
tool() {
	command -v "$1-19" || command -v "$1" || echo "$1"
}

# FreeBSD's package has the tools' own names here alone.
[ ! -d /usr/local/llvm19/bin ] || PATH=$PATH:/usr/local/llvm19/bin
CLANG=$(tool clang)
LLD=$(tool ld.lld)
OBJCOPY=$(tool llvm-objcopy)
OBJDUMP=$(tool llvm-objdump)
for directory in /usr/lib/llvm-19/lib /usr/local/llvm19/lib; do
	[ -d "$directory" ] && LIBCLANG_PATH=${LIBCLANG_PATH:-$directory}
done
export CLANG LLD OBJCOPY OBJDUMP LIBCLANG_PATH
