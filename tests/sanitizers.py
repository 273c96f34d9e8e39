#!/usr/bin/env python3
"""Builds the amd64 modules for kernels with KASAN and KCSAN, and checks that both compilers have instrumented them."""

import importlib.machinery
import importlib.util
import os
import pathlib
import re
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent

loader = importlib.machinery.SourceFileLoader("check_ko", str(HERE / "check-ko"))
check_ko = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(check_ko)

# What such a kernel has (sys/kern/subr_asan.c, subr_csan.c) and the plain module does not use.
KERNEL_HAS = {
    "kasan": re.compile(
        r"__asan_((load|store)([1248]|16|N)(_noabort)?|handle_no_return|(un)?register_globals|set_shadow_(00|f[1-58])"
        r"|(un)?poison_stack_memory|alloca_poison|allocas_unpoison)|kasan_\w+"
    ),
    "kcsan": re.compile(
        r"__tsan_((unaligned_)?(read|write)([1248]|16)|(read|write)_range|func_(entry|exit)|init|mem(cpy|set|move))|kcsan_\w+"
    ),
}
# Some of what each object calls
CALLS = {"kasan": {"__asan_loadN", "__asan_store8"}, "kcsan": {"__tsan_read8", "__tsan_write8"}}
MISTAKES = {"kasan": "__asan_load4_noabort", "kcsan": "__tsan_write4"}
# Ends of linker sets, the stack protector of larger frames, and sysctls for the mistakes
ALSO = re.compile(r"__(start|stop)_set_\w+|__stack_chk_(fail|guard)|sysctl___debug|sysctl_handle_int")
SHADOW = struct.pack("<Q", 0xDFFFF7C000000000)


def undefined(path):
    return {s.name for s in check_ko.Elf(path).symbols if s.section == 0 and s.name}


def problems(name, plain):
    """What is wrong with the module that `name`=1 builds."""
    built = subprocess.run(
        [TOP / "kmod/build.sh", "amd64"], env={**os.environ, name.upper(): "1"}, capture_output=True, text=True
    )
    if built.returncode:
        return [built.stderr]
    work = TOP / f"target/amd64-{name}/kmod"
    [mistakes] = work.glob("shim/*mistakes.o")
    module = TOP / f"build/amd64-{name}/if_lagg_rs.ko"
    found = [
        f"the kernel lacks {symbol}"
        for symbol in sorted(undefined(module) - plain)
        if not (KERNEL_HAS[name].fullmatch(symbol) or ALSO.fullmatch(symbol))
    ]
    found += [f"Rust does not call {symbol}" for symbol in CALLS[name] - undefined(work / "lagg_rs.o")]
    found += [f"C does not call {symbol}" for symbol in {MISTAKES[name]} - undefined(mistakes)]
    found += [f"{symbol} looks at nothing" for symbol in ("memcpy", "memcmp") if symbol in undefined(module)]
    if name == "kasan" and SHADOW not in (work / "lagg_rs.o").read_bytes():
        found.append("Rust marks the stack in Linux's shadow")
    if name == "kasan":
        [static] = [s for s in check_ko.Elf(work / "lagg_rs.o").symbols if s.name.endswith("mistakes5BYTES")]
        if static.size == 40:
            found.append("Rust's statics have nothing behind them that KASAN watches")
    return found


def main():
    plain = set(check_ko.kept.symbols(HERE / "kpi-symbols.txt", 15))
    failed = 0
    for name in CALLS:
        found = problems(name, plain)
        failed += bool(found)
        print(f"test module for a kernel with {name.upper()} ... {'FAILED' if found else 'ok'}", flush=True)
        print("".join(f"  {problem}\n" for problem in found), end="")
    print(f"test result: {'FAILED' if failed else 'ok'}. {len(CALLS) - failed} passed; {failed} failed;")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
