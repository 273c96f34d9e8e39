"""Runs a machine to its verdict, or to the end of a step's time."""

import os
import selectors
import subprocess
import time

from .console import Console

GRACE = 10      # seconds that a machine has after its verdict to say more, or to power off


def limits(env, machine):
    """Seconds for each step, and what it means that they are over."""
    return {
        'kernel': (float(env.get('VM_BOOT') or machine.patience), 'no word of the kernel in {:g} s (VM_BOOT)'),
        'begin': (float(env.get('VM_START') or 900), 'the system was not up in {:g} s (VM_START)'),
        'verdict': (float(env.get('TIMEOUT') or 7200 + int(env.get('SOAK') or 0)), 'no verdict in {:g} s (TIMEOUT)'),
    }


def watch(machine, env, out):
    """Returns its Console, once there is a verdict or no more hope of one, and why there is none."""
    console = Console()
    steps = limits(env, machine)
    quiet = float(env.get('QUIET') or 400)
    step = console.step
    heard = time.monotonic()
    limit, told = steps[step]
    end = heard + limit
    why = None
    with subprocess.Popen(machine.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as process, \
            selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        try:
            while True:
                if ready.select(timeout=0.2):
                    text = os.read(process.stdout.fileno(), 65536).decode(errors='replace')
                    if not text:
                        break
                    heard = time.monotonic()
                    out.write(text.replace('\r', ''))
                    out.flush()
                    try:
                        process.stdin.write(console.feed(text).encode())
                    except BrokenPipeError:
                        pass
                    while console.links:
                        machine.link(*console.links.pop(0))
                now = time.monotonic()
                if console.step != step:
                    step = console.step
                    limit, told = steps[step]
                    end = now + limit
                ended = console.verdict is not None or console.panic is not None
                if ended and not console.hung:
                    # A machine that does not power off may still have a leak to report, or a backtrace.
                    end = min(end, now + GRACE)
                if now < end and now < heard + quiet:
                    continue
                if ended or console.hung:
                    break
                why = told.format(limit) if now >= end else f'silent for {quiet:g} s (QUIET)'
                console.hung = True
                if step == 'kernel':
                    break
                out.write(f'\nrun-vm: {why}: asking the kernel where it is\n')
                machine.interrupt()
                heard, end, quiet = now, now + min(limit, 60), min(quiet, 10)
        finally:
            process.kill()
            process.wait()
            machine.end()
    if console.partial:
        console.feed('\n')
    console.close()
    return console, why
