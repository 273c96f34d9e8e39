"""What a run comes to."""

import os
import re
import shutil
import subprocess

# Of a backtrace; and KCSAN's
FRAME = re.compile(r'(\S+)\+0x[0-9a-f]+|PC=0x[0-9a-f]+<([^>]+)>')


def tool(name):
    """An LLVM tool, by Debian's versioned name or the plain one."""
    return shutil.which(name + '-19') or shutil.which(name)


def symbols(module, lines):
    """The frames of a report that are our module's, each once, by the names that they have in the source."""
    nm, demangle = tool('llvm-nm'), tool('llvm-cxxfilt')
    if not (os.path.exists(module) and nm and demangle):
        return []
    ours = {row.split()[-1] for row in subprocess.run([nm, '--defined-only', module], capture_output=True, text=True).stdout.splitlines()}
    found = (frame for line in lines for frame in FRAME.finditer(line))
    frames = dict.fromkeys(frame[2] or frame[0] for frame in found if (frame[2] or frame[1]) in ours)
    return subprocess.run([demangle], input='\n'.join(frames), capture_output=True, text=True).stdout.splitlines()


def judge(console, why, module, out, of_c=False):
    """Says it, and returns run-vm's exit status. What the kernel says of C lagg is no failure: the script knows what to expect."""
    say = lambda text: print('run-vm: ' + text, file=out)
    if console.hung:
        say(f'FAILED: {why}')
        return 4
    if console.panic is not None:
        say('FAILED: the kernel panicked')
        for line in console.panic[:60]:
            print('    ' + line, file=out)
        for line in symbols(module, console.panic):
            say('of ours: ' + line)
        return 3
    for report in console.reports:
        say('the kernel complains about lagg:')
        for line in report:
            print('    ' + line, file=out)
        for line in symbols(module, report):
            say('of ours: ' + line)
    if console.verdict is None:
        say('FAILED: the machine ended without a verdict')
        return 5
    if console.verdict == 0 and console.reports and not of_c:
        say('FAILED: the script passed, the kernel complained')
        return 6
    say('passed' if console.verdict == 0 else f'FAILED: the script exited with {console.verdict}')
    return console.verdict
