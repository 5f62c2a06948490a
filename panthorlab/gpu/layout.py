# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware interface as data: addresses of the control, input and output blocks, their fields and bits.

Sources: panthor_fw.h (Linux 6.12, 7.3). Addresses are MCU virtual addresses. Fields and bits are those of interface
1.x, for all generations; number and addresses of the blocks depend on the generation's `Layout`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

SHARED = 0x0400_0000
"""Address of the shared section in every firmware: the driver expects it there."""
RUNNING = 0x52554E21


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The block addresses of one generation's firmware, and the features that it reports.

    The firmware chooses strides and addresses; the driver reads them from the control blocks. All sizes are bytes.
    """

    groups: int
    streams: int
    version: int
    instr_features: int
    cs_features: int
    """[7:0] registers − 1, [15:8] scoreboards, [16] compute, [17] fragment, [18] tiler."""
    protm_suspend_size: int
    """The buffer is never used, but size 0 would make every group creation fail."""
    heap_context_stride: int
    """The size of an L2 line, by which the driver spaces heap contexts."""
    shared: int = SHARED
    shared_size: int = 0x20000
    group_control: int = 0x1000
    group_stride: int = 0x100
    stream_control: int = 0x40
    """Offset in the control block of the group."""
    stream_stride: int = 0xC
    global_blocks: tuple[int, int] = (0x2000, 0x3000)
    """Offsets of the input and output blocks; likewise for the other `…_blocks`."""
    group_blocks: tuple[int, int] = (0x4000, 0xC000)
    group_block_stride: int = 0x1000
    stream_blocks: tuple[int, int] = (0x100, 0x100)
    """Offsets in the input and output blocks of the group."""
    stream_block_strides: tuple[int, int] = (0x80, 0x100)
    life_word: int = 0x14000

    @property
    def life(self) -> int:
        """Address of the firmware's private word: `RUNNING` from boot to halt. Reloading the section clears it."""
        return self.shared + self.life_word

    @property
    def glb_control(self) -> int:
        return self.shared

    @property
    def glb_input(self) -> int:
        return self.shared + self.global_blocks[0]

    @property
    def glb_output(self) -> int:
        return self.shared + self.global_blocks[1]

    def csg_control(self, group: int) -> int:
        return self.shared + self.group_control + group * self.group_stride

    def cs_control(self, group: int, stream: int) -> int:
        return self.csg_control(group) + self.stream_control + stream * self.stream_stride

    def csg_input(self, group: int) -> int:
        return self.shared + self.group_blocks[0] + group * self.group_block_stride

    def csg_output(self, group: int) -> int:
        return self.shared + self.group_blocks[1] + group * self.group_block_stride

    def cs_input(self, group: int, stream: int) -> int:
        return self.csg_input(group) + self.stream_blocks[0] + stream * self.stream_block_strides[0]

    def cs_output(self, group: int, stream: int) -> int:
        return self.csg_output(group) + self.stream_blocks[1] + stream * self.stream_block_strides[1]

    def blocks(self) -> list[tuple[str, int, int]]:
        """All blocks, which must not overlap: name, address, size."""
        groups = range(self.groups)
        pairs = [(g, s) for g in groups for s in range(self.streams)]
        return [
            ("global control", self.glb_control, _size(GlbControl)),
            ("global input", self.glb_input, _size(GlbIn)),
            ("global output", self.glb_output, _size(GlbOut)),
            ("life", self.life, 4),
            *((f"CSG {g} control", self.csg_control(g), _size(CsgControl)) for g in groups),
            *((f"CSG {g} input", self.csg_input(g), _size(CsgIn)) for g in groups),
            *((f"CSG {g} output", self.csg_output(g), _size(CsgOut)) for g in groups),
            *((f"CS {g}.{s} control", self.cs_control(g, s), _size(CsControl)) for g, s in pairs),
            *((f"CS {g}.{s} input", self.cs_input(g, s), _size(CsIn, last=8)) for g, s in pairs),
            *((f"CS {g}.{s} output", self.cs_output(g, s), _size(CsOut, last=8)) for g, s in pairs),
        ]


def _size(block: type, *, last: int = 4) -> int:
    """Size in bytes of a block whose last field has `last` bytes."""
    offsets: list[int] = [offset for name, offset in vars(block).items() if not name.startswith("_")]
    return last + max(offsets)


class GlbControl:
    VERSION, FEATURES, INPUT, OUTPUT, GROUP_NUM, GROUP_STRIDE, PERFCNT_SIZE, INSTR_FEATURES = range(0, 0x20, 4)


class GlbIn:
    REQ = 0x00
    ACK_IRQ_MASK = 0x04
    DOORBELL_REQ = 0x08
    PROGRESS_TIMER = 0x10  # in 1024 GPU cycles
    POWEROFF_TIMER = 0x14
    CORE_EN_MASK = 0x18  # u64
    IDLE_TIMER = 0x80  # in 1024 ticks of the system counter, or of the GPU clock with bit 31


class GlbOut:
    ACK = 0x00
    DOORBELL_ACK = 0x08
    HALT_STATUS = 0x10


class Glb:
    """GLB_REQ, GLB_ACK."""

    HALT = 1 << 0
    CFG_PROGRESS_TIMER = 1 << 1
    CFG_ALLOC_EN = 1 << 2
    CFG_POWEROFF_TIMER = 1 << 3
    PROTM_ENTER = 1 << 4
    PERFCNT_EN = 1 << 5
    PERFCNT_SAMPLE = 1 << 6
    COUNTER_EN = 1 << 7
    PING = 1 << 8
    FIRMWARE_CONFIG_UPDATE = 1 << 9
    IDLE_EN = 1 << 10
    IDLE = 1 << 26
    REQUESTS = 0x7FE  # bits 10:1, acknowledged as a whole
    NOT_EMULATED = PROTM_ENTER | PERFCNT_EN | PERFCNT_SAMPLE | FIRMWARE_CONFIG_UPDATE


class CsgControl:
    FEATURES, INPUT, OUTPUT, SUSPEND_SIZE, PROTM_SUSPEND_SIZE, STREAM_NUM, STREAM_STRIDE = range(0, 0x1C, 4)


class CsgIn:
    REQ = 0x00
    ACK_IRQ_MASK = 0x04
    DOORBELL_REQ = 0x08
    CS_IRQ_ACK = 0x0C
    ALLOW_COMPUTE = 0x20
    ALLOW_FRAGMENT = 0x28
    ALLOW_OTHER = 0x30
    ENDPOINT_REQ = 0x34
    SUSPEND_BUF = 0x40  # u64
    PROTM_SUSPEND_BUF = 0x48
    CONFIG = 0x50  # [3:0] address space


class CsgOut:
    ACK = 0x00
    DOORBELL_ACK = 0x08
    CS_IRQ_REQ = 0x0C
    STATUS_ENDPOINT_CURRENT = 0x10
    STATUS_ENDPOINT_REQ = 0x14
    STATUS_STATE = 0x18  # [0] idle
    RESOURCE_DEP = 0x1C


class Csg:
    """CSG_REQ, CSG_ACK."""

    STATE = 0x7
    TERMINATE, START, SUSPEND, RESUME = range(4)
    STATES = ("TERMINATE", "START", "SUSPEND", "RESUME")
    EP_CFG = 1 << 4
    STATUS_UPDATE = 1 << 5
    SYNC_UPDATE = 1 << 28
    IDLE = 1 << 29
    PROGRESS_TIMER = 1 << 31
    EVENT_NAMES = MappingProxyType({SYNC_UPDATE: "sync-update", IDLE: "idle", PROGRESS_TIMER: "progress-timer"})
    TOGGLES = EP_CFG | STATUS_UPDATE


class CsControl:
    FEATURES, INPUT, OUTPUT = range(0, 0xC, 4)


class CsIn:
    REQ = 0x00
    CONFIG = 0x04  # [3:0] priority, [15:8] user doorbell
    ACK_IRQ_MASK = 0x0C
    RINGBUF_BASE = 0x10  # u64, in the group's address space
    RINGBUF_SIZE = 0x18
    HEAP_START = 0x20  # u64
    HEAP_END = 0x28
    RINGBUF_INPUT = 0x30  # u64
    RINGBUF_OUTPUT = 0x38


class CsOut:
    ACK = 0x00
    STATUS_CMD_PTR = 0x40  # u64
    STATUS_WAIT = 0x48
    STATUS_REQ_RESOURCE = 0x4C
    STATUS_WAIT_SYNC_PTR = 0x50  # u64
    STATUS_WAIT_SYNC_VALUE = 0x58
    STATUS_SCOREBOARDS = 0x5C
    STATUS_BLOCKED_REASON = 0x60
    STATUS_WAIT_SYNC_VALUE_HI = 0x64
    FAULT = 0x80
    FATAL = 0x84
    FAULT_INFO = 0x88  # u64
    FATAL_INFO = 0x90
    HEAP_VT_START = 0xC0
    HEAP_VT_END = 0xC4
    HEAP_FRAG_END = 0xCC
    HEAP_ADDRESS = 0xD0  # u64


class Cs:
    """CS_REQ, CS_ACK."""

    STATE = 0x7
    STOP, START = range(2)
    IDLE_SYNC_WAIT = 1 << 8
    IDLE_EMPTY = 1 << 10
    TILER_OOM = 1 << 26
    FATAL = 1 << 30
    FAULT = 1 << 31
    EVENTS = TILER_OOM | FATAL | FAULT
    EVENT_NAMES = MappingProxyType({TILER_OOM: "tiler-oom", FATAL: "fatal", FAULT: "fault"})


class RingIn:
    INSERT = 0x00  # u64, bytes since START
    EXTRACT_INIT = 0x08


class RingOut:
    EXTRACT = 0x00  # u64
    ACTIVE = 0x08
