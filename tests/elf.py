"""Kernel modules as check-ko looks at them: their ELF files, read by pyelftools, and their code, by llvm-objdump."""

import functools
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
from typing import NamedTuple

# Where setup.sh puts it, unless the system has it
sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "build/wheels"))

from elftools.common.exceptions import ELFError  # noqa: E402
from elftools.elf import enums  # noqa: E402
from elftools.elf.constants import P_FLAGS, SH_FLAGS  # noqa: E402
from elftools.elf.elffile import ELFFile  # noqa: E402
from elftools.elf.relocation import RelocationSection  # noqa: E402
from elftools.elf.sections import SymbolTableSection  # noqa: E402

SHT = enums.ENUM_SH_TYPE_BASE
SHT_REL, SHT_NOBITS = SHT["SHT_REL"], SHT["SHT_NOBITS"]
SHT_INIT_ARRAY, SHT_FINI_ARRAY, SHT_PREINIT_ARRAY = (SHT[f"SHT_{n}_ARRAY"] for n in ("INIT", "FINI", "PREINIT"))
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = SH_FLAGS.SHF_WRITE, SH_FLAGS.SHF_ALLOC, SH_FLAGS.SHF_EXECINSTR
SHF_TLS = SH_FLAGS.SHF_TLS
STT_FUNC, STT_TLS = (enums.ENUM_ST_INFO_TYPE[f"STT_{n}"] for n in ("FUNC", "TLS"))
STB_WEAK = enums.ENUM_ST_INFO_BIND["STB_WEAK"]
ET_REL, ET_DYN = (enums.ENUM_E_TYPE[f"ET_{n}"] for n in ("REL", "DYN"))
PT_LOAD, PF_X, PF_W = enums.ENUM_P_TYPE_BASE["PT_LOAD"], P_FLAGS.PF_X, P_FLAGS.PF_W
EM_X86_64, EM_AARCH64 = (enums.ENUM_E_MACHINE[f"EM_{n}"] for n in ("X86_64", "AARCH64"))

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


def number(names, value):
    """What is in the file. pyelftools gives the name of a value that it knows; one of a machine alone keeps it here."""
    return names.get(value, value)


class Elf:
    """As much of a module as the checks ask for, with numbers for types."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            try:
                self._read(ELFFile(file))
            except ELFError as error:
                raise ValueError(f"not a 64-bit little-endian ELF file: {error}") from error

    def _read(self, elf):
        if elf.elfclass != 64 or not elf.little_endian:
            raise ValueError("not a 64-bit little-endian ELF file")
        self.type = number(enums.ENUM_E_TYPE, elf["e_type"])
        self.machine = number(enums.ENUM_E_MACHINE, elf["e_machine"])
        if self.machine not in RELOCATIONS:
            raise ValueError(f"machine {self.machine} is neither amd64 nor arm64")
        tables = list(elf.iter_sections())
        self.sections = [self._section(s) for s in tables]
        self.segments = [(number(enums.ENUM_P_TYPE_BASE, s["p_type"]), s["p_flags"]) for s in elf.iter_segments()]
        symbols = {i: self._symbols(s) for i, s in enumerate(tables) if isinstance(s, SymbolTableSection)}
        self.symbols = [symbol for i, found in symbols.items() if tables[i]["sh_type"] == "SHT_SYMTAB" for symbol in found]
        self.relocations = [r for s in tables if isinstance(s, RelocationSection) and s.is_RELA()
                            for r in self._relocations(s, symbols)]
        self.functions = sorted(
            (s.section, s.value, s.size, s.name) for s in self.symbols if s.type == STT_FUNC and s.section
        )

    def _section(self, s):
        kind = number(SHT, s["sh_type"])
        data = b"" if kind in (SHT["SHT_NULL"], SHT_NOBITS) else s.data()
        return Section(s.name, kind, s["sh_flags"], s["sh_addr"], s["sh_size"], data)

    def _symbols(self, table):
        return [
            Symbol(
                s.name, s["st_value"], s["st_size"], number(enums.ENUM_ST_INFO_TYPE, s["st_info"]["type"]),
                number(enums.ENUM_ST_INFO_BIND, s["st_info"]["bind"]), number(enums.ENUM_ST_SHNDX, s["st_shndx"]),
            )
            for s in table.iter_symbols()
        ]

    def _relocations(self, table, symbols):
        linked = symbols.get(table["sh_link"])
        target = table["sh_info"] if self.type == ET_REL else 0
        for r in table.iter_relocations():
            symbol = linked[r["r_info_sym"]] if linked else Symbol("", 0, 0, 0, 0, 0)
            yield Relocation(target, r["r_offset"], r["r_info_type"], symbol, r["r_addend"])

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
