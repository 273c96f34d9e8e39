"""tests/count/run [--keep] [ARCH...]: counts what packets cost in the built modules, and compares it with budgets.txt.

--keep writes the counts there instead. More than the table says is a loss, and 2 instructions less are to be written down. Another compiler
than the table's may take a tenth more.
"""

import os
import pathlib
import subprocess
import sys
import time

from kernel import Kernel
from scenes import Lagg, scenes

HERE = pathlib.Path(__file__).parent
BUDGETS = HERE / "budgets.txt"
# How many more lines a packet may touch: a change elsewhere in a function moves what the packet does not run.
LINES = 3
HEAD = """# Instructions, cache lines of text, and cache lines of data that a packet costs in the module's own code: those of amd64, then of arm64.
# Not counted are the kernel's functions, the stack and the packet. `tests/count/run --keep` writes this.
"""


def compiler():
    return subprocess.run([os.environ.get("RUSTC", "rustc"), "--version"], capture_output=True, text=True, check=True).stdout.strip()


def measure(arch):
    path = HERE.parent.parent / "build" / arch / "if_lagg_rs.ko"

    def make(protocol, **how):
        kernel = Kernel(arch, path)
        kernel.boot()
        return Lagg(kernel, protocol, **how)

    return dict(scenes(make))


def read():
    """The budgets, by scene and architecture."""
    rows = {}
    for line in BUDGETS.read_text().splitlines():
        if line and not line.startswith("#"):
            name, *columns = (column.strip() for column in line.split("|"))
            numbers = [tuple(map(int, column.split())) for column in columns]
            rows[name] = dict(zip(("amd64", "arm64"), numbers))
    return rows


def main(arguments):
    keep = "--keep" in arguments
    wanted = [arch for arch in arguments if arch != "--keep"] or ["amd64", "arm64"]
    rows = read() if BUDGETS.exists() else {}
    began = time.monotonic()
    counts = {arch: measure(arch) for arch in wanted}
    if keep:
        for arch, scene in counts.items():
            for name, count in scene.items():
                rows.setdefault(name, {})[arch] = count
        names = counts[wanted[0]]
        width = max(map(len, names))
        columns = lambda name: (" | ".join("%4d %3d %3d" % rows[name][arch] for arch in ("amd64", "arm64")))
        BUDGETS.write_text(HEAD + f"# {compiler()}\n" + "".join(f"{name:{width}} | {columns(name)}\n" for name in names))
        return 0
    bad = 0
    same = f"# {compiler()}\n" in BUDGETS.read_text()
    for arch, scene in counts.items():
        if set(scene) != set(rows):
            print(f"{arch}: other scenes than the table's: {set(scene) ^ set(rows)}")
            bad += 1
        for name, count in scene.items():
            budget = rows.get(name, {}).get(arch, count)
            room = [(0 if same else may // 10 + 1) + more for may, more in zip(budget, (0, LINES, LINES))]
            if any(have > may + more for have, may, more in zip(count, budget, room)):
                print(f"{arch}: {name}: {count} is more than {budget} (instructions, lines of text, lines of data)")
                bad += 1
            elif same and count[0] + 2 <= budget[0]:
                print(f"{arch}: {name}: {count} is less than {budget}: keep it by tests/count/run --keep")
                bad += 1
    print(f"Ran {sum(map(len, counts.values()))} tests in {time.monotonic() - began:.1f} s")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
