#!/usr/bin/env python3
"""Builds the amd64 module for kernels with options other than GENERIC's (KERNCONFDIR), and checks what it requires."""

import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
MODULE = HERE.parent / "build/amd64/if_lagg_rs.ko"
NETMAP = (1, "netmap", (1, 1, 1))

loader = importlib.machinery.SourceFileLoader("check_ko", str(HERE / "check-ko"))
check_ko = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(check_ko)


def build(directory):
    environment = {**os.environ, "KERNCONFDIR": str(directory)}
    return subprocess.run([HERE.parent / "kmod/build.sh", "amd64"], env=environment, capture_output=True, text=True)


def options(directory, *names):
    """As config(8) writes them: a file for each of those that we read, empty or not."""
    directory.mkdir(exist_ok=True)
    for file in "global", "inet", "inet6":
        (directory / f"opt_{file}.h").write_text("".join(f"#define {n} 1\n" for n in names) if file == "global" else "")
    return directory


def main():
    outcomes = []

    def expect(name, good, output):
        outcomes.append(good)
        print(f"test {name} ... {'ok' if good else 'FAILED'}", flush=True)
        if not good:
            print(f"  {output}")

    def refused(name, directory):
        done = build(directory)
        lines = done.stderr.splitlines()
        told = len(lines) == 1 and f"KERNCONFDIR={directory}" in lines[0] and "buildkernel" in lines[0]
        expect(name, done.returncode == 1 and not done.stdout and told, done)

    def built(name, directory, wanted):
        """`wanted`: whether the module depends on netmap, checks what INVARIANTS has checked, knows IPv6, and has probes. Send tags it serves always."""
        done = build(directory)
        if done.returncode:
            return expect(name, False, done.stderr)
        elf = check_ko.Elf(MODULE)
        symbols = {s.name for s in elf.symbols if s.section == 0}
        found = (NETMAP in check_ko.metadata(elf), "__mtx_assert" in symbols, "in6_ifdetach" in symbols)
        found += (bool(elf.named("set_sdt_probes_set")) and "sdt_probe" in symbols,)
        expect(name, found == wanted and "m_snd_tag_alloc" in symbols, (found, symbols))

    with tempfile.TemporaryDirectory() as name:
        top = pathlib.Path(name)
        refused("no such directory", top / "none")
        refused("a directory without options", top)
        kernel = options(top / "KERNEL", "SMP")
        built("a kernel with next to nothing", kernel, (False, False, False, False))
        options(kernel, "SMP", "VIMAGE", "DEV_NETMAP", "INVARIANTS", "INVARIANT_SUPPORT", "KDTRACE_HOOKS")
        (kernel / "opt_inet6.h").write_text("#define INET6 1\n")
        built("the same directory with other options", kernel, (True, True, True, True))

    failed = outcomes.count(False)
    print(f"test result: {'FAILED' if failed else 'ok'}. {len(outcomes) - failed} passed; {failed} failed;")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
