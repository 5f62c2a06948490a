# SPDX-License-Identifier: GPL-2.0-or-later
"""A GPU generation as a value: everything that differs between generations. The model, the firmware image and the
guest's firmware path are derived from it. `generations/` defines the existing ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from panthorlab.gpu.cs.opcodes import InstructionSet
from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.layout import Layout
from panthorlab.gpu.pci import BAR_SIZES
from panthorlab.gpu.power import PowerStrategy
from panthorlab.gpu.registers import Bits, Register, bits

VA_BITS, PA_BITS = Bits("va_bits", 7, 0), Bits("pa_bits", 15, 8)  # of MMU_FEATURES
ARCH_MAJOR, ARCH_MINOR = Bits("arch_major", 31, 28), Bits("arch_minor", 27, 24)  # of GPU_ID

MOST_SPACES, MOST_GROUPS, MOST_STREAMS = 16, 31, 32  # bits of MMU_INT_* [15:0], JOB_INT_* [30:0], CS_IRQ_REQ


@dataclass(frozen=True, kw_only=True)
class AddressSpaces:
    """The MMU: `count` blocks of `registers`, `stride` bytes apart from `base` on."""

    base: int
    stride: int
    count: int
    registers: tuple[Register, ...]
    pa_bits: int
    min_lock_bits: int
    """log2 of the smallest region that LOCK can lock."""
    source_ids: Mapping[Requester, int]
    """AS_FAULTSTATUS.source_id ([31:16]) for each requester."""

    def offset(self, space: int, register: int) -> int:
        """BAR0 offset of the register at `register` in the block of address space `space`."""
        return self.base + space * self.stride + register


@dataclass(frozen=True)
class Doorbells:
    """Doorbell 0 rings the firmware; doorbell n + 1 rings the user queues of CSG slot n."""

    base: int
    stride: int
    fields: tuple[Bits, ...] = bits("ring 0")

    def offset(self, doorbell: int) -> int:
        return self.base + doorbell * self.stride


@dataclass(frozen=True, kw_only=True)
class Generation:
    """`name` is its name for `--model`. Raises ValueError if its parts contradict each other."""

    name: str
    title: str
    registers: tuple[Register, ...]
    """Registers of GPU control, interrupts and the MCU; offsets count from the start of BAR0."""
    spaces: AddressSpaces
    doorbells: Doorbells
    cores: Mapping[str, int]
    """Bit mask of the present cores, by kind: SHADER, TILER, L2."""
    layout: Layout
    instructions: InstructionSet
    power: PowerStrategy

    def __post_init__(self) -> None:
        wrong = [*self._wrong_constants(), *self._wrong_places()]
        if wrong:
            raise ValueError(f"generation {self.name}: {'; '.join(wrong)}")

    def constant(self, name: str) -> int:
        """The reset value of register `name`."""
        return next(register.reset for register in self.registers if register.name == name)

    @property
    def doorbell_count(self) -> int:
        return 1 + self.layout.groups

    @property
    def firmware_path(self) -> str:
        """Where panthor looks for the firmware of a GPU with this GPU_ID."""
        gpu_id = self.constant("GPU_ID")
        return f"/lib/firmware/arm/mali/arch{ARCH_MAJOR.of(gpu_id)}.{ARCH_MINOR.of(gpu_id)}/mali_csffw.bin"

    def places(self) -> Iterator[tuple[int, str, Register | None]]:
        """Every register of BAR0: its offset, its full name, and its `Register` (None: a doorbell)."""
        for register in self.registers:
            yield register.offset, register.name, register
        for space in range(self.spaces.count):
            for register in self.spaces.registers:
                yield self.spaces.offset(space, register.offset), f"AS{space}_{register.name}", register
        for doorbell in range(self.doorbell_count):
            yield self.doorbells.offset(doorbell), f"DOORBELL_{doorbell}", None

    def _wrong_constants(self) -> Iterator[str]:
        isa = self.instructions
        wanted = {
            "AS_PRESENT": (1 << self.spaces.count) - 1,
            **{f"{core}_PRESENT_LO": present for core, present in self.cores.items()},
        }
        resets = {register.name: register.reset for register in self.registers}
        yield from (f"{name} must be 0x{value:x}" for name, value in wanted.items() if resets.get(name) != value)
        if PA_BITS.of(resets.get("MMU_FEATURES", 0)) != self.spaces.pa_bits:
            yield f"MMU_FEATURES must have {self.spaces.pa_bits} physical address bits"
        most = (
            ("address spaces", self.spaces.count, MOST_SPACES),
            ("slots", self.layout.groups, MOST_GROUPS),
            ("streams", self.layout.streams, MOST_STREAMS),
        )
        yield from (
            f"interrupts and doorbells are for at most {limit} {what}" for what, count, limit in most if count > limit
        )
        if self.layout.cs_features & 0xFFFF != isa.registers - 1 | isa.scoreboards << 8:
            yield f"cs_features must have {isa.registers} registers and {isa.scoreboards} scoreboards"

    def _wrong_places(self) -> Iterator[str]:
        places = sorted((offset, name) for offset, name, _ in self.places())
        yield from (f"{name} and {other} are at 0x{at:x}" for (at, name), (b, other) in pairwise(places) if at == b)
        yield from (f"{name} is at 0x{at:x}" for at, name in places if at & 3 or not 0 <= at < BAR_SIZES[0])
        blocks = sorted((at, size, name) for name, at, size in self.layout.blocks())
        yield from (
            f"{name} and {other} overlap" for (at, size, name), (b, _, other) in pairwise(blocks) if at + size > b
        )
        end = self.layout.shared + self.layout.shared_size
        yield from (f"{name} is outside of the shared section" for at, size, name in blocks if at + size > end)
