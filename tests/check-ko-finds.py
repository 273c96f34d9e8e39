#!/usr/bin/env python3
"""Checks that check-ko reports modules that are bad in one way each, and passes good ones."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CLANG = os.environ.get("CLANG") or shutil.which("clang-19") or "clang"
OBJCOPY = os.environ.get("OBJCOPY") or shutil.which("llvm-objcopy-19") or "llvm-objcopy"

ARCHES = {
    "amd64": "--target=x86_64-unknown-freebsd15 -mcmodel=kernel -mno-red-zone -mno-mmx -mno-sse -msoft-float".split(),
    "arm64": "--target=aarch64-unknown-freebsd15 -mgeneral-regs-only -ffixed-x18 -fPIC -mno-outline-atomics".split(),
}
FLAGS = "-O1 -ffreestanding -fno-asynchronous-unwind-tables -fno-omit-frame-pointer -Wno-everything -c".split()

# The smallest module that is good. What a case changes is a macro here, or added at the end.
GOOD = r"""
struct metadata { int version, type; const void *data; const char *label; };
#define SET(set, symbol) \
    static const void *const set_##set##_##symbol __attribute__((section("set_" #set), used)) = &symbol
#define METADATA(name, type, data, label) \
    static struct metadata name = { 1, type, data, label }; SET(modmetadata_set, name)

#ifndef VERSION
#define VERSION 1
#endif
#ifndef INFINIBAND
#define INFINIBAND "if_infiniband"
#endif
#ifndef MINIMUM
#define MINIMUM 1500068
#endif
#ifndef MAXIMUM
#define MAXIMUM 1599999
#endif
#ifndef VNET
#define VNET __attribute__((section("set_vnet"), used))
#endif
#ifndef ENTRY
#define ENTRY entry
#endif
#ifndef STEP
#define STEP
#endif
#ifndef BEFORE
#define BEFORE
#endif
#ifndef AFTER
#define AFTER
#endif
#ifndef KEEP
#define KEEP
#endif

int event(void *module, int type, void *data) { return 0; }
struct { const char *name; void *event, *private; } module = { "if_lagg", event, 0 };
METADATA(meta_module, 2, &module, "if_lagg");
int version = VERSION;
METADATA(meta_version, 3, &version, "if_lagg");
int infiniband[] = { 1, 1, 1 };
METADATA(meta_infiniband, 1, infiniband, INFINIBAND);
int netmap[] = { 1, 1, 1 };
METADATA(meta_netmap, 1, netmap, "netmap");
int kernel[] = { MINIMUM, MINIMUM, MAXIMUM };
METADATA(meta_kernel, 1, kernel, "kernel");

VNET int vnet_entry_knob = 1;
long knob(char *base) { return *(int *)(base + (unsigned long)&vnet_entry_knob); }

void panic(const char *, ...);
void core_panic(void) __asm__("_RNvNtCsgB_4core9panicking5panic");
__attribute__((noinline)) void core_panic(void) { panic("reached"); }
/* Not called: an indirect call is the end of the walk. */
void (*handler)(void) = core_panic;

__attribute__((noinline)) int last(int n) { STEP; __asm__ volatile(""); return n + 1; }
__attribute__((noinline)) int step(int n) { __asm__ volatile(""); return last(n) * 2; }
void leave(char *why) { BEFORE; panic(why); AFTER; }
int ENTRY(int n) { KEEP; handler(); return step(n) + 1; }
"""

KPI = "panic sys/kassert.h\nmaybe sys/systm.h\n"

FRAME = "void f(void) { char room[2000]; panic(room); }"
DYNAMIC = "void f(int n) { char room[n]; panic(room); }"
LARGE = "void f(void) { char room[70000]; panic(room); }"

# name, architectures, added code or -D flags, objcopy flags afterwards, what check-ko must say
BOTH = ("amd64", "arm64")
CASES = [
    ("unapplicable relocation", ["amd64"], '__asm__("movq panic@GOTPCREL(%rip), %rax");', "", "relocations: type"),
    ("32-bit relocation", ["amd64"], '__asm__("movl $panic, %eax");', "", "relocations: type 10 "),
    ("dynamic TLS relocation", ["arm64"], "extern __thread int t; int f(void) { return t; }", "", "relocations: type"),
    ("no set_vnet", BOTH, ["-DVNET="], "", "layout: 0 sections set_vnet"),
    ("two set_vnet", BOTH, "", "--rename-section .data=set_vnet", "layout: 2 sections set_vnet"),
    ("TLS", BOTH, "static __thread int t = 1; int *f(void) { return &t; }", "", "is thread-local"),
    ("constructor", BOTH, '__attribute__((constructor)) void f(void) { panic("early"); }', "", "constructors and destructors are not run"),
    ("unwind tables", BOTH, ["-fasynchronous-unwind-tables"], "", "nothing unwinds"),
    ("writable code", BOTH, '__asm__(".section .wx,\\"awx\\"; nop; .text");', "", "is writable and executable"),
    ("code outside .text", ["amd64"], '__asm__(".section .more,\\"ax\\"; nop; .text");', "", "not in .text alone"),
    ("unpadded code", ["amd64"], "", "--update-section .text={short}", "is not padded to pages"),
    ("unknown symbol", BOTH, "void f(void) { unheard_of(); }", "", "symbols: unheard_of is not in"),
    ("weak symbol", BOTH, "__attribute__((weak)) void maybe(void); void f(void) { maybe(); }", "", "symbols: maybe is weak"),
    ("exported symbol", ["amd64"], "", "--globalize-symbol=step", "symbols: step is exported"),
    ("exported symbol", ["arm64"], "", "--globalize-symbol=step", "symbols: step is exported"),
    ("SSE", ["amd64"], 'void f(void) { __asm__("movaps %xmm0, %xmm1"); }', "", "registers: f: movaps"),
    ("AVX-512", ["amd64"], 'void f(void) { __asm__("vpxord %zmm0, %zmm1, %zmm2"); }', "", "registers: f: vpxord"),
    ("MMX", ["amd64"], 'void f(void) { __asm__("movd %eax, %mm0"); }', "", "registers: f: movd"),
    ("x87", ["amd64"], 'void f(void) { __asm__("fld1"); }', "", "registers: f: fld1"),
    ("x87, with an operand", ["amd64"], 'void f(void) { __asm__("fstpl (%rax)"); }', "", "registers: f: fstp"),
    ("NEON", ["arm64"], 'void f(void) { __asm__(".arch_extension simd; add v0.4s, v1.4s, v2.4s"); }', "", "registers: f: add"),
    ("NEON load", ["arm64"], 'void f(void) { __asm__(".arch_extension simd; ldp q0, q1, [x0]"); }', "", "registers: f: ldp"),
    ("floating point", ["arm64"], 'void f(void) { __asm__(".arch_extension fp; fadd d0, d1, d2"); }', "", "registers: f: fadd"),
    ("large frame", BOTH, FRAME, "", "bytes of stack, more than 1024"),
    ("very large frame", BOTH, LARGE, "", "bytes of stack, more than 1024"),
    ("dynamic frame", BOTH, DYNAMIC, "", "known at run time alone"),
    ("inlined entry point", BOTH, ["-DENTRY=other"], "", "data path: entry is no function"),
    ("entry point that keeps much", BOTH, ['-DKEEP=char room[80]; __asm__ volatile("" :: "r"(room))'], "", "bytes of stack, more than 64"),
    ("panic in depth", BOTH, ["-DSTEP=if (n) core_panic()"], "", "4core9panicking5panic <- last <- step <- entry"),
    ("tail call of panic", BOTH, ["-DSTEP=if (n) return core_panic(), 0"], "", "4core9panicking5panic <- last"),
    ("panic(9) in depth", BOTH, ["-DSTEP=if (n) panic(0)"], "", "panic <- last <- step <- entry"),
    ("trap", BOTH, ["-DSTEP=if (n) __builtin_trap()"], "", "last <- step <- entry: "),
    ("return from the last call", BOTH, ['-DAFTER=__asm__ volatile("")'], "", "leaves: leave does not end in a jump to panic"),
    ("another way out", BOTH, ["-DBEFORE=if (!why) return"], "", "leaves: leave does not end in a jump to panic"),
    ("another version", BOTH, ["-DVERSION=2"], "", "metadata: lacks (3, 'if_lagg', (1,))"),
    ("another dependency", BOTH, ['-DINFINIBAND="if_bridge"'], "", "metadata: has (1, 'if_bridge', (1, 1, 1))"),
    ("another release", BOTH, ["-DMINIMUM=1402000", "-DMAXIMUM=1499999"], "", None),
    ("two releases", BOTH, ["-DMINIMUM=1402000"], "", "metadata: is for the kernels 1402000 to 1599999"),
    ("an old release", BOTH, ["-DMINIMUM=1300139", "-DMAXIMUM=1399999"], "", "metadata: is for the kernels 1300139"),
    ("VNET address in code", ["arm64"], ["-fvisibility=hidden"], "", "vnet: knob computes an address in set_vnet"),
]


def build(directory, arch, change, objcopy):
    source = directory / "module.c"
    flags = change if isinstance(change, list) else []
    source.write_text(GOOD + (change if isinstance(change, str) else "") + "\n")
    made, module = directory / "module.o", directory / "module.ko"
    subprocess.run([CLANG, *ARCHES[arch], *FLAGS, *flags, source, "-o", made], check=True)
    subprocess.run([HERE.parent / "kmod/link.sh", arch, module, made], check=True)
    if objcopy:
        (directory / "short").write_bytes(b"\x90" * 100)
        subprocess.run([OBJCOPY, *objcopy.format(short=directory / "short").split(), module], check=True)
    return module


def check(directory, *modules, kpi=KPI, headers=()):
    (directory / "kpi").write_text(kpi)
    (directory / "data-path").write_text("entry 64\n")
    (directory / "leaves").write_text("leave panic\n")
    lists = ["--kpi", directory / "kpi", "--data-path", directory / "data-path", "--leaves", directory / "leaves"]
    command = [sys.executable, HERE / "check-ko", *lists, *(f"--headers={h}" for h in headers), *modules]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main():
    outcomes = []

    def expect(name, wanted, status, output):
        """`wanted` is the complaint, or None where there is to be none."""
        good = (status == 0) if wanted is None else (status == 1 and wanted in output)
        outcomes.append(good)
        print(f"test {name} ... {'ok' if good else 'FAILED'}")
        if not good:
            print(f"  wanted: {wanted or 'no complaint'}\n  output: {output.strip() or 'nothing'}")

    with tempfile.TemporaryDirectory() as name:
        top = pathlib.Path(name)
        good = []
        for arch in ARCHES:
            directory = top / arch
            directory.mkdir()
            good.append(build(directory, arch, "", ""))
            expect(f"good, {arch}", None, *check(top, good[-1]))
            for case, arches, change, objcopy, wanted in CASES:
                if arch in arches:
                    place = directory / "case"
                    place.mkdir(exist_ok=True)
                    expect(f"{case}, {arch}", wanted, *check(top, build(place, arch, change, objcopy)))

        (top / "sys").mkdir()
        (top / "sys/kassert.h").write_text("void panic(const char *, ...);\n")
        (top / "sys/other.h").write_text("int panicky;\n")
        kept = "panic sys/kassert.h\n"
        expect("kept list, good", None, *check(top, *good, kpi=kept, headers=[top]))
        expect("kept list, unused", "maybe: no module uses it", *check(top, *good, kpi=KPI))
        for header, wanted in [("sys/none.h", "there is no sys/none.h"), ("sys/other.h", "sys/other.h does not have panic")]:
            expect(f"kept list, {header}", wanted, *check(top, *good, kpi=f"panic {header}\n", headers=[top]))
        for releases, wanted in [("15+", None), ("14-", "symbols: panic is not in kpi")]:
            expect(f"kept list, {releases}", wanted, *check(top, *good, kpi=f"panic {releases} sys/kassert.h\n", headers=[top]))
        (top / "text").write_text("not a module")
        expect("not a module", "file: not a 64-bit", *check(top, top / "text"))

    failed = outcomes.count(False)
    print(f"test result: {'FAILED' if failed else 'ok'}. {len(outcomes) - failed} passed; {failed} failed;")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
