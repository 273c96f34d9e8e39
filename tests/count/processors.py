"""The two processors: their calls, their relocations, and where they keep what is a processor's own."""

import struct

from unicorn import UC_ARCH_ARM64, UC_ARCH_X86, UC_MODE_64, UC_MODE_ARM
from unicorn import arm64_const as arm
from unicorn import x86_const as x86


class Amd64:
    uc = (UC_ARCH_X86, UC_MODE_64)
    arguments = [x86.UC_X86_REG_RDI, x86.UC_X86_REG_RSI, x86.UC_X86_REG_RDX, x86.UC_X86_REG_RCX, x86.UC_X86_REG_R8, x86.UC_X86_REG_R9]
    result, pc, sp = x86.UC_X86_REG_RAX, x86.UC_X86_REG_RIP, x86.UC_X86_REG_RSP
    ret = b"\xc3"

    @staticmethod
    def pcpu(uc, address):
        uc.reg_write(x86.UC_X86_REG_GS_BASE, address)

    @staticmethod
    def enter(uc, sp, end):
        """Sets the stack up for a call that returns to `end`."""
        uc.mem_write(sp - 8, struct.pack("<Q", end))
        uc.reg_write(x86.UC_X86_REG_RSP, sp - 8)

    @staticmethod
    def relocate(kind, write, image, place, symbol, addend):
        # R_X86_64_64, PC32, PLT32, 32S
        if kind == 1:
            write(place, struct.pack("<Q", (symbol + addend) % 2**64))
        elif kind in (2, 4):
            write(place, struct.pack("<i", symbol + addend - place))
        elif kind == 11:
            write(place, struct.pack("<i", symbol + addend))
        else:
            raise ValueError(f"relocation {kind}")


class Arm64:
    uc = (UC_ARCH_ARM64, UC_MODE_ARM)
    arguments = [getattr(arm, f"UC_ARM64_REG_X{n}") for n in range(8)]
    result, pc, sp = arm.UC_ARM64_REG_X0, arm.UC_ARM64_REG_PC, arm.UC_ARM64_REG_SP
    ret = b"\xc0\x03\x5f\xd6"

    @staticmethod
    def pcpu(uc, address):
        uc.reg_write(arm.UC_ARM64_REG_X18, address)
        # pc_zpcpu_offset
        uc.mem_write(address + 0xB0, struct.pack("<Q", address))

    @staticmethod
    def enter(uc, sp, end):
        uc.reg_write(arm.UC_ARM64_REG_LR, end)
        uc.reg_write(arm.UC_ARM64_REG_SP, sp)

    @staticmethod
    def relocate(kind, write, image, place, symbol, addend):
        # R_AARCH64_ABS64, GLOB_DAT, JUMP_SLOT; RELATIVE
        if kind in (257, 1025, 1026):
            write(place, struct.pack("<Q", symbol + addend))
        elif kind == 1027:
            write(place, struct.pack("<Q", image + addend))
        else:
            raise ValueError(f"relocation {kind}")
