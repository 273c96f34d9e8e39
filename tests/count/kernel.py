"""A kernel that is just enough for the built module: Unicorn emulates the processor, Python the kernel's functions.

The module is loaded as kldload(8) does it. Its own code makes laggs and ports, so nothing here knows how it lays out its data. Of the
kernel's structures this has the fields that the module reads itself, where FreeBSD 15's headers have them.
"""

import struct
from collections import Counter, deque

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from interfaces import IF_IOCTL, Interfaces
from processors import Amd64, Arm64
from unicorn import UC_HOOK_CODE, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, Uc

IMAGE, IMAGE_SIZE = 0x2000_0000, 0x40_0000
# A stub for each of the kernel's functions and variables
STUBS, STUBS_SIZE = 0x2800_0000, 0x1_0000
STUB = 16
HEAP, HEAP_SIZE = 0x3000_0000, 0x800_0000
STACK, STACK_SIZE = 0x4000_0000, 0x10_0000
# Where a call returns to.
END = STUBS + STUBS_SIZE - STUB
# A processor's own data. counter(9) and uma_zalloc_pcpu(9) return distances from there.
PCPU, PCPU_SIZE = 0x5000_0000, 0x10_0000
PACKETS, PACKETS_SIZE = 0x6000_0000, 0x100_0000

EWOULDBLOCK = 35


class Kernel(Interfaces):
    """The module in a kernel of its own."""

    def __init__(self, arch, path):
        self.arch = {"amd64": Amd64, "arm64": Arm64}[arch]
        self.uc = uc = Uc(*self.arch.uc)
        for at, size in ((IMAGE, IMAGE_SIZE), (STUBS, STUBS_SIZE), (HEAP, HEAP_SIZE), (STACK, STACK_SIZE), (PCPU, PCPU_SIZE), (PACKETS, PACKETS_SIZE)):
            uc.mem_map(at, size)
        self.heap, self.packets, self.percpu, self.depth = HEAP, PACKETS, 0x8000, 0
        self.stubs, self.names = {}, {}
        self.tasks, self.epoch, self.timeouts, self.handlers = deque(), deque(), {}, {}
        self.now_ms, self.sent, self.calls = 1_000_000, [], Counter()
        self.interfaces = {}
        uc.hook_add(UC_HOOK_CODE, self._stub, begin=STUBS, end=STUBS + STUBS_SIZE - 1)
        # curthread, whose td_vnet is found wherever it may be; and a vnet whose data are where the module has them.
        self.vnet = self.alloc(4096)
        thread = self.alloc(8192)
        uc.mem_write(thread, struct.pack("<Q", self.vnet) * 1024)
        self.arch.pcpu(uc, PCPU)
        uc.mem_write(PCPU, struct.pack("<Q", thread))
        self._load(path)

    # ---- memory ----

    def alloc(self, size, align=64):
        self.heap = -(-self.heap // align) * align
        at, self.heap = self.heap, self.heap + size
        assert self.heap < HEAP + HEAP_SIZE, "no memory left"
        return at

    def read(self, at, size=8):
        return int.from_bytes(self.uc.mem_read(at, size), "little")

    def write(self, at, value, size=8):
        self.uc.mem_write(at, value.to_bytes(size, "little"))

    def string(self, at):
        return bytes(self.uc.mem_read(at, 64)).split(b"\0")[0].decode()

    # ---- loading ----

    def _load(self, path):
        with open(path, "rb") as file:
            elf = ELFFile(file)
            sections, at = {}, IMAGE
            shared = elf["e_type"] == "ET_DYN"
            for index, section in enumerate(elf.iter_sections()):
                if not section["sh_flags"] & 2:
                    continue
                at = IMAGE + section["sh_addr"] if shared else -(-at // 4096) * 4096
                sections[index] = at
                if section["sh_type"] != "SHT_NOBITS":
                    self.uc.mem_write(at, section.data())
                at += section["sh_size"]
                name = section.name
                if name.startswith("set_"):
                    self.names.setdefault(name, (sections[index], section["sh_size"]))
            table = elf.get_section_by_name(".dynsym" if shared else ".symtab")

            def address(symbol):
                index = symbol["st_shndx"]
                if index == "SHN_UNDEF":
                    return self._symbol(symbol.name)
                if index == "SHN_ABS":
                    return symbol["st_value"]
                return IMAGE + symbol["st_value"] if shared else sections[index] + symbol["st_value"]

            self.symbols = {}
            for symbol in (elf.get_section_by_name(".symtab") or table).iter_symbols():
                if symbol.name and symbol["st_shndx"] != "SHN_UNDEF" and symbol["st_info"]["type"] != "STT_FILE":
                    self.symbols[symbol.name] = address(symbol)
            for section in elf.iter_sections():
                if not isinstance(section, RelocationSection) or (not shared and section["sh_info"] not in sections):
                    continue
                start = IMAGE if shared else sections[section["sh_info"]]
                for entry in section.iter_relocations():
                    index = entry["r_info_sym"]
                    symbol = address(table.get_symbol(index)) if index else 0
                    self.arch.relocate(entry["r_info_type"], self.uc.mem_write, IMAGE, start + entry["r_offset"], symbol, entry["r_addend"])

    def _symbol(self, name):
        """The address of one of the kernel's functions or variables: code that returns, which a variable's readers see as no more than
        a number that is not zero."""
        if name not in self.stubs:
            at = STUBS + STUB * len(self.stubs)
            self.stubs[name] = at
            self.names[at] = name
            self.uc.mem_write(at, self.arch.ret)
        return self.stubs[name]

    # ---- calls ----

    def call(self, function, *arguments):
        """Calls a function of the module, and returns its result."""
        uc, arch = self.uc, self.arch
        saved = uc.context_save() if self.depth else None
        # Below what an interrupted call may use, red zone and all.
        sp = (uc.reg_read(arch.sp) - 4096) & ~15 if self.depth else STACK + STACK_SIZE - 4096
        for register, value in zip(arch.arguments, arguments):
            uc.reg_write(register, value)
        arch.enter(uc, sp, END)
        self.depth += 1
        uc.emu_start(function, END)
        self.depth -= 1
        result = uc.reg_read(arch.result)
        if saved:
            uc.context_restore(saved)
        return result

    def count(self, function, *arguments):
        """Calls a function of the module, and counts its instructions, and the cache lines of text and of data that it touches. Neither
        what the kernel's functions would do nor the stack and the packet are counted."""
        instructions, text, data = [0], set(), set()

        def executed(uc, address, size, _):
            instructions[0] += 1
            text.update((address // 64, (address + size - 1) // 64))

        def touched(uc, access, address, size, value, _):
            if not STACK <= address < STACK + STACK_SIZE and address < PACKETS:
                data.update((address // 64, (address + size - 1) // 64))

        hooks = [
            self.uc.hook_add(UC_HOOK_CODE, executed, begin=IMAGE, end=IMAGE + IMAGE_SIZE - 1),
            self.uc.hook_add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, touched),
        ]
        # Code that was translated before has no hooks in it.
        self.uc.ctl_flush_tb()
        self.call(function, *arguments)
        for hook in hooks:
            self.uc.hook_del(hook)
        return instructions[0], len(text), len(data)

    def _stub(self, uc, address, size, _):
        name = self.names.get(address)
        if name is None:
            return
        self.calls[name] += 1
        arguments = [uc.reg_read(register) for register in self.arch.arguments]
        function = getattr(self, "k_" + name, None)
        result = function(*arguments[: function.__code__.co_argcount - 1]) if function else 0
        uc.reg_write(self.arch.result, (result or 0) % 2**64)

    def settle(self):
        """Runs what is queued, until nothing is."""
        while self.tasks or self.epoch:
            while self.epoch:
                self.call(*self.epoch.popleft())
            if self.tasks:
                task = self.tasks.popleft()
                # struct task: ta_func and ta_context, after a link and two small numbers
                self.call(self.read(task + 16), self.read(task + 24), 1)

    def sleep(self, ms):
        """Lets time pass, from timeout to timeout."""
        until = self.now_ms + ms
        self.settle()
        while due := [(at, timeout) for timeout, at in self.timeouts.items() if at <= until]:
            at, timeout = min(due)
            self.now_ms = max(self.now_ms, at)
            del self.timeouts[timeout]
            # struct timeout_task: its task, after a pointer
            self.tasks.append(timeout + 8)
            self.settle()
        self.now_ms = until

    # ---- the kernel's functions ----

    def k_malloc(self, size, kind, flags):
        return self.alloc(size)

    def k_uma_zalloc_pcpu_arg(self, zone):
        at, self.percpu = self.percpu, self.percpu + 64
        return at

    def k_memset(self, at, byte, size):
        self.uc.mem_write(at, bytes([byte & 255]) * size)
        return at

    def k_memcpy(self, to, source, size):
        self.uc.mem_write(to, bytes(self.uc.mem_read(source, size)))
        return to

    k_memmove = k_memcpy

    def k_memcmp(self, one, other, size):
        a, b = self.uc.mem_read(one, size), self.uc.mem_read(other, size)
        return (a > b) - (a < b)

    def k_epoch_call(self, epoch, function, context):
        self.epoch.append((function, context))

    def k_epoch_drain_callbacks(self, epoch):
        while self.epoch:
            self.call(*self.epoch.popleft())

    def k_taskqueue_create(self):
        return self.alloc(64)

    k_taskqueue_create_fast = k_taskqueue_create

    def k__timeout_task_init(self, queue, timeout, priority, function, context):
        self.write(timeout + 24, function)
        self.write(timeout + 32, context)

    def k_taskqueue_enqueue_timeout_sbt(self, queue, timeout, sbt):
        self.timeouts[timeout] = self.now_ms - (-sbt * 1000 >> 32)

    def k_taskqueue_cancel_timeout(self, queue, timeout):
        self.timeouts.pop(timeout, None)

    def k_taskqueue_enqueue(self, queue, task):
        if task not in self.tasks:
            self.tasks.append(task)

    def k_taskqueue_drain(self, queue, task):
        if task in self.tasks:
            self.tasks.remove(task)
            self.call(self.read(task + 16), self.read(task + 24), 1)

    def k__cv_wait(self, cv, mutex):
        assert self.tasks, "a wait that nothing ends"
        self.settle()

    def k__cv_timedwait_sbt(self, cv, mutex):
        if not self.tasks:
            return EWOULDBLOCK
        self.settle()

    def k_getbinuptime(self, to):
        self.write(to, self.now_ms // 1000)
        self.write(to + 8, (self.now_ms % 1000 << 64) // 1000)

    def k_arc4random_buf(self, to, size):
        self.uc.mem_write(to, bytes(range(1, size + 1)))

    def k_eventhandler_register(self, list_, name, function, argument, priority):
        self.handlers[self.string(name)] = function
        return self.alloc(8)

    def k_sysctl_add_oid(self):
        return self.alloc(128)

    def k_ifc_attach_cloner(self, name, request):
        self.create, self.destroy = self.read(request + 24), self.read(request + 32)
        return self.alloc(8)

    def k_m_get2(self, size):
        return self.packet(bytes(size))

    def k_m_copypacket(self, m):
        return self.packet(bytes(self.uc.mem_read(self.read(m + 16), self.read(m + 24, 4))))

    def k_m_copydata(self, m, offset, size, to):
        data = bytes(self.uc.mem_read(self.read(m + 16) + offset, size))
        self.uc.mem_write(to, data)

    def packet(self, frame, multicast=False):
        """An mbuf with a packet header, in one piece."""
        m, data, self.packets = self.packets, self.packets + 256, self.packets + 256 + -(-len(frame) // 64) * 64
        self.uc.mem_write(data, frame)
        self.write(m + 16, data)
        self.write(m + 24, len(frame), 4)
        self.write(m + 28, (2 | (0x20 if multicast else 0)) << 8 | 1, 4)
        self.write(m + 56, len(frame), 4)
        self.write(m + 70, 0xFF, 1)
        return m

    # ---- what a test does ----

    def boot(self):
        """Loads the module, and attaches its cloner."""
        self._symbol("port_transmit")
        assert self.call(self.symbols["lagg_rs_load"]) == 0
        self.call(self.symbols["vnet_lagg_init"], 0)
        self.settle()

    def lagg(self):
        """ifconfig lagg0 create"""
        data, made = self.alloc(24), self.alloc(8)
        assert self.call(self.create, 0, 0, 0, data, made) == 0
        self.settle()
        return self.read(made)

    def ioctl(self, ifp, command, data):
        place = self.alloc(len(data))
        self.uc.mem_write(place, data)
        error = self.call(self.read(ifp + IF_IOCTL), ifp, command, place)
        self.settle()
        assert error == 0, f"ioctl {command:#x}: {error}"
        return bytes(self.uc.mem_read(place, len(data)))
