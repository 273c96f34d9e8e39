"""What a FreeBSD machine says on its serial console, and what to answer."""

import re

KERNEL = re.compile(r'---<<BOOT>>---')
BEGIN = re.compile(r'VM-BEGIN\s*$')
VERDICT = re.compile(r'VM-VERDICT: (\d+)\s*$')
# A script wants carrier on a card, or none: by the id of its -netdev
LINK = re.compile(r'VM-LINK: (\w+) (on|off)\s*$')
PANIC = re.compile(r'panic: |Fatal (trap \d|double fault|data abort)')
WITNESS = re.compile(r'lock order reversal|acquiring duplicate lock|with the following .*locks held|'
                     r'(shared|exclusive|forbidden) (un)?lock of')
# KASAN's and KCSAN's. What is done on purpose (kmod/mistakes.c) is none of ours.
SANITIZER = re.compile(r'ASan: Invalid access|CSan: Racy Access')
ON_PURPOSE = re.compile(r'lagg_(rs|c)_mistake_')
# What follows the first line of such a report.
REPORT = re.compile(r'\s+(1st|2nd|3rd) |lock order |stack backtrace|#\d+ |while |(shared|exclusive) ')
LEAK = re.compile(r'Warning: memory type lagg.* leaked|lagg.*was not empty|Freed UMA keg \(lagg')

# What the machine runs: the second disk is the payload.
UNPACK = ('mkdir -p /tmp/vm ; mount -t tmpfs tmpfs /tmp/vm ; tar -xf /dev/vtbd1 -C /tmp/vm ; cd /tmp/vm && sh ./run.sh ; '
          'echo "VM-VERDICT: $?"\n')
TYPED = 'mount -u -o rw / ; ' + UNPACK
# On a hang: which threads hold what, and where all of them wait.
DDB_HANG = 'set $lines=0\nshow alllocks\nalltrace\nreset\n'
DDB_PANIC = 'set $lines=0\nbt\nreset\n'


class Console:
    """What the console said so far, and what to answer. No I/O: feed it, type what it returns."""

    def __init__(self):
        self.partial = ''
        self.step = 'kernel'    # what is waited for: the kernel, the script's begin, its verdict
        self.verdict = None
        self.panic = None       # the panic's lines
        self.reports = []       # reports of WITNESS, KASAN and KCSAN, and leaks, that name lagg, each a list of lines
        self.links = []         # what scripts want of cards' links, each an id and on or off
        self.hung = False
        self._report = None
        self._shell = False     # the next prompt is a shell's
        self._typed = False
        self._debugger = False

    def feed(self, text):
        *lines, self.partial = (self.partial + text.replace('\r', '')).split('\n')
        for line in lines:
            self._line(line)
        answer = self._prompt(self.partial)
        if answer:
            self.partial = ''
        return answer

    def _line(self, line):
        if self.panic is not None:
            self.panic.append(line)
            return
        # The kernel's lines may begin in the middle of a program's.
        if PANIC.search(line) and not self.hung:
            self.close()
            self.panic = [line]
            return
        if self.step == 'kernel' and KERNEL.search(line):
            self.step = 'begin'
        elif BEGIN.search(line):
            self.step = 'verdict'
        if WITNESS.search(line) or SANITIZER.search(line):
            self.close()
            self._report = [line]
        elif self._report is not None:
            if REPORT.match(line):
                self._report.append(line)
            else:
                self.close()
        if LEAK.search(line):
            self.reports.append([line])
        link = LINK.search(line)
        if link:
            self.links.append(link.groups())
        verdict = VERDICT.search(line)
        if verdict:
            self.verdict = int(verdict[1])

    def close(self):
        """
        The end of a report: those that name lagg are ours, unless it is C lagg, with which a script may compare.
        What KASAN finds in others may be memory of ours; races they have of their own.
        """
        report = '\n'.join(self._report or [])
        if SANITIZER.search(report):
            ours = 'lagg_rs' in report or ('ASan: ' in report and 'lagg' not in report)
            ours = ours and not ON_PURPOSE.search(report)
        else:
            ours = 'lagg' in report.lower() and '/if_lagg.c:' not in report
        if ours:
            self.reports.append(self._report)
        self._report = None

    def _prompt(self, text):
        if text.endswith('db> ') and not self._debugger:
            self._debugger = True
            if self.panic is None and not self.hung:
                self.panic = ['the kernel stopped in its debugger']
            return DDB_HANG if self.hung else DDB_PANIC
        if self._typed:
            return ''
        if text.endswith('mountroot> '):
            return '\n'    # the kernel gives up, and says so
        if text.endswith('login: '):
            self._shell = True
            return 'root\n'
        if 'RETURN for /bin/sh' in text:
            self._shell = True
            return '/bin/sh\n'
        if self._shell and re.search(r'[#%$] $', text):
            self._typed = True
            return TYPED
        return ''
