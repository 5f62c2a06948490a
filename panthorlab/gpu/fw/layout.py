# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware interface as data: where the control, input and output blocks are, their fields, their bits.

Sources: panthor_fw.h (Linux 6.12, 7.3). The strides are this firmware's own; the driver reads them from the control
blocks. Addresses are MCU virtual addresses.
"""

from __future__ import annotations

from types import MappingProxyType

SHARED = 0x0400_0000
SHARED_SIZE = 0x20000
GROUPS = 8
STREAMS = 8

VERSION = 0x01010000  # 1.1.0. Below 4.0: from there on 7.x uses endpoint_req2
INSTR_FEATURES = 0x71
CS_FEATURES = 0x0007085F  # 96 registers, 8 scoreboards, compute + fragment + tiler
GROUP_STRIDE = 0x100
STREAM_STRIDE = 0xC
HEAP_CONTEXT_STRIDE = 64  # an L2 line; the driver places contexts so
PROTM_SUSPEND_SIZE = 0x1000  # never used; 0 would make every group creation fail

LIFE = SHARED + 0x14000
"""The firmware's own: `RUNNING` from its boot until it halts. Loading the section anew clears it."""
RUNNING = 0x52554E21

GLB_CONTROL = SHARED
GLB_INPUT = SHARED + 0x2000
GLB_OUTPUT = SHARED + 0x3000


GROUP_CONTROL = 0x1000
STREAM_CONTROL = 0x40  # in the control block of its group


def csg_control(group: int) -> int:
    return SHARED + GROUP_CONTROL + group * GROUP_STRIDE


def cs_control(group: int, stream: int) -> int:
    return csg_control(group) + STREAM_CONTROL + stream * STREAM_STRIDE


def csg_input(group: int) -> int:
    return SHARED + 0x4000 + group * 0x1000


def csg_output(group: int) -> int:
    return SHARED + 0xC000 + group * 0x1000


def cs_input(group: int, stream: int) -> int:
    return csg_input(group) + 0x100 + stream * 0x80


def cs_output(group: int, stream: int) -> int:
    return csg_output(group) + 0x100 + stream * 0x100


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
