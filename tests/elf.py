"""As much of ELF files and of their disassembly as check-ko asks for."""

import functools
import os
import pathlib
import re
import shutil
import struct
import subprocess
from typing import NamedTuple

SHT_PROGBITS, SHT_SYMTAB, SHT_RELA, SHT_REL, SHT_DYNSYM = 1, 2, 4, 9, 11
SHT_INIT_ARRAY, SHT_FINI_ARRAY, SHT_PREINIT_ARRAY = 14, 15, 16
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_TLS = 1, 2, 4, 0x400
STT_FUNC, STT_SECTION, STT_TLS = 2, 3, 6
STB_GLOBAL, STB_WEAK = 1, 2
ET_REL, ET_DYN = 1, 3
PT_LOAD, PF_X, PF_W = 1, 1, 2
EM_X86_64, EM_AARCH64 = 62, 183

# The relocations that the kernel's linker applies (sys/amd64/amd64/elf_machdep.c,
# sys/arm64/arm64/elf_machdep.c), without those that a module should not have: on amd64 it is a
# relocatable object, on arm64 a shared one.
RELOCATIONS = {
    EM_X86_64: {0: "NONE", 1: "64", 2: "PC32", 4: "PLT32", 11: "32S"},
    EM_AARCH64: {257: "ABS64", 1025: "GLOB_DAT", 1026: "JUMP_SLOT", 1027: "RELATIVE"},
}


class Section(NamedTuple):
    name: str
    type: int
    flags: int
    address: int
    size: int
    link: int
    info: int
    data: bytes


class Symbol(NamedTuple):
    name: str
    value: int
    size: int
    type: int
    bind: int
    section: int  # 0: undefined


class Relocation(NamedTuple):
    section: int  # that it applies to; 0 where the offset is an address
    offset: int
    type: int
    symbol: Symbol
    addend: int


class Elf:
    """As much of a 64-bit little-endian ELF file as the checks ask for."""

    def __init__(self, path):
        raw = pathlib.Path(path).read_bytes()
        if raw[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        self.path = path
        (self.type, self.machine, _, _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx) = (
            struct.unpack_from("<HHIQQQIHHHHHH", raw, 16)
        )
        if self.machine not in RELOCATIONS:
            raise ValueError(f"machine {self.machine} is neither amd64 nor arm64")
        heads = [struct.unpack_from("<IIQQQQIIQQ", raw, shoff + i * shentsize) for i in range(shnum)]

        def content(head):
            return b"" if head[1] in (0, 8) else raw[head[4] : head[4] + head[5]]

        names = content(heads[shstrndx])
        self.sections = [
            Section(text(names, h[0]), h[1], h[2], h[3], h[5], h[6], h[7], content(h)) for h in heads
        ]
        self.segments = [
            struct.unpack_from("<II", raw, phoff + i * phentsize) for i in range(phnum)
        ]
        self.symbols = self._symbols(SHT_SYMTAB)
        self.relocations = [r for s in self.sections if s.type == SHT_RELA for r in self._relocations(s)]
        self.functions = sorted(
            (s.section, s.value, s.size, s.name) for s in self.symbols if s.type == STT_FUNC and s.section
        )

    def _symbols(self, of_type):
        found = []
        for table in (s for s in self.sections if s.type == of_type):
            names = self.sections[table.link].data
            for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", table.data):
                found.append(Symbol(text(names, name), value, size, info & 15, info >> 4, section))
        return found

    def _relocations(self, table):
        linked = self.sections[table.link] if table.link else None
        symbols = self._symbols(linked.type) if linked else []
        target = table.info if self.type == ET_REL else 0
        for offset, info, addend in struct.iter_unpack("<QQq", table.data):
            symbol = symbols[info >> 32] if symbols else Symbol("", 0, 0, 0, 0, 0)
            yield Relocation(target, offset, info & 0xFFFFFFFF, symbol, addend)

    def code(self):
        return [s for s in self.sections if s.flags & SHF_EXECINSTR]

    def named(self, name):
        return [i for i, s in enumerate(self.sections) if s.name == name]

    def place(self, address):
        """(section, offset) of an address in a linked file."""
        for i, s in enumerate(self.sections):
            if s.flags & SHF_ALLOC and s.address <= address < s.address + s.size:
                return i, address - s.address
        raise ValueError(f"nothing is at address {address:#x}")

    def pointer(self, section, offset):
        """Where the pointer stored at a place points to, as (section, offset)."""
        at = offset if self.type == ET_REL else self.sections[section].address + offset
        for r in self.relocations:
            if r.offset == at and r.section in (0, section):
                if self.type == ET_REL:
                    return r.symbol.section, r.symbol.value + r.addend
                return self.place(r.symbol.value + r.addend)
        raise ValueError(f"no pointer at {self.sections[section].name}+{offset:#x}")

    def integers(self, place, count):
        section, offset = place
        return struct.unpack_from(f"<{count}i", self.sections[section].data, offset)

    def string(self, place):
        section, offset = place
        return text(self.sections[section].data, offset)

    def function(self, section, offset):
        for s, value, size, name in self.functions:
            if s == section and value <= offset < value + max(size, 1):
                return name
        return None


def text(table, offset):
    return table[offset : table.index(b"\0", offset)].decode()


class Instruction(NamedTuple):
    section: int
    address: int
    mnemonic: str
    operands: str


INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")


@functools.cache
def disassemble(elf):
    """All instructions, in the order of the file, grouped by function name."""
    tool = os.environ.get("OBJDUMP") or shutil.which("llvm-objdump-19") or "llvm-objdump"
    listing = subprocess.run(
        [tool, "-d", "--no-show-raw-insn", "--no-print-imm-hex", elf.path], check=True, capture_output=True, text=True
    ).stdout
    functions, section = {}, 0
    for line in listing.splitlines():
        if line.startswith("Disassembly of section "):
            section = elf.named(line.removeprefix("Disassembly of section ").rstrip(":"))[0]
            continue
        match = INSTRUCTION.match(line)
        if not match:
            continue
        address = int(match[1], 16)
        base = elf.sections[section].address
        offset = address - base if elf.type == ET_DYN else address
        name = elf.function(section, address if elf.type == ET_DYN else offset)
        # A prefix is printed in the mnemonic's place.
        mnemonic, operands = match[2], re.sub(r"\s*(//|#\s).*$", "", match[3])
        while mnemonic in ("lock", "rep", "repne", "notrack", "data16", "bnd") and operands:
            mnemonic, _, operands = operands.replace("\t", " ").partition(" ")
        functions.setdefault(name, []).append(Instruction(section, address, mnemonic, operands))
    return functions
