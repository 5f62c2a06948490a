# SPDX-License-Identifier: GPL-2.0-or-later
"""panthor's calls as data: their fields, values that may work and values that must be rejected.

A value is a number, or one letter for "some object of that kind": v (VM), b (buffer object), g (group), h (heap), s
(syncobj), m (mapping of the CPU), f (dma-buf); e is the end of a VM's user address range. What panthor 1.0 has not, and
what is not a call of panthor's, is in `panthorlab/fuzz/later.py`. `panthorlab/guest/gpu-fuzz-kinds.c`, `-later.c` and
`-memory.c` have the same calls with their default values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from panthorlab.fuzz.call import BIND, OFFSET, PAD, VM, Call, CallField
from panthorlab.fuzz.later import LATER_CALLS

KINDS: Final = "vbghsemf"
COMMON: Final = frozenset({"times", "beside", "signal", "wait"})
"""Words of every call: how often, by a thread of its own while the script goes on, and its sync operations."""
ACTS: Final[Mapping[str, frozenset[str]]] = {
    "close": frozenset(),
    "exit": frozenset(),
    "kill": frozenset(),
    "look": frozenset(),
    "sleep": frozenset({"ms"}),
    "suspended": frozenset({"ms"}),
    "switch": frozenset(),
    "wait": frozenset({"sync", "ms"}),
}
"""Lines that are not panthor ioctls."""
STREAMS: Final = ("store", "long", "loop", "wait", "heap", "tile", "tiles", "bad-instr", "bad-store", "bad-call")
MAPPED_AT, MAPPED_SIZE, BO_SIZE = "0x1000000", "0x4000", "0x4000"
"""Defaults for mappings, unmappings, and buffer objects."""
STREAMS_AT: Final = "0x10000000"
"""Address of the streams of each VM."""
GUESSES: Final = ("0", "1", "2", "3", "0x7777", "0xffffffff")
"""Handles that were never allocated, or belong to another object."""


CALLS: Final[Mapping[str, Call]] = {
    call.name: call
    for call in (
        Call(
            "dev_query",
            2,
            (
                CallField("type", ("0", "1", "2", "3", "4"), ("5", "1000"), always=True),
                CallField("size", ("4", "64"), ("0", "4096")),
                CallField("pointer", ("0",), ("0x10",)),
            ),
        ),
        Call(
            "vm_create",
            6,
            (
                CallField("flags", odd=("1", "0x80000000")),
                CallField("va", ("0x40000000", "0x100000000"), ("1", "0x1000000000000", "-1")),
            ),
            into="v",
        ),
        Call("vm_destroy", 3, (VM, PAD), beside=True),
        Call("vm_state", 2, (VM,)),
        Call(
            "bind",
            14,
            (
                *BIND,
                CallField("flags", ("0", "1", "2", "4"), ("8", "0x8000000", "0x10000000", "0x20000000", "0x70000000")),
                CallField("async", odd=("2",)),
                CallField("bo", ("b",), always=True),
                OFFSET,
            ),
            awaited=True,
            beside=True,
        ),
        Call(
            "unbind",
            10,
            (
                *BIND,
                CallField("flags", odd=("0x10000001", "0x18000000", "0x20000000", "0x70000000")),
                CallField("async", ("1",), ("2",)),
                CallField("bo", odd=("b",)),
                CallField("offset", odd=("0x1000",)),
            ),
            syncs=True,
            beside=True,
        ),
        Call(
            "sync_only",
            2,
            (
                VM,
                CallField("va", odd=("0x1000000",)),
                CallField("size", odd=("0x1000",)),
                CallField("bo", odd=("b",)),
                CallField("ops", ("2",), ("0",)),
            ),
            syncs=True,
        ),
        Call(
            "bo_create",
            9,
            (
                CallField("size", ("0x1000", "0x10000", "0x200000", "0x400000"), ("0", "1"), always=True),
                CallField("vm", ("v",)),
                CallField("flags", ("1", "2"), ("3", "4", "0x80000000")),
                PAD,
            ),
            into="b",
        ),
        Call("bo_mmap", 3, (CallField("bo", ("b",), always=True), PAD)),
        Call("gem_close", 3, (CallField("bo", ("b",), always=True),)),
        Call(
            "group_create",
            10,
            (
                VM,
                CallField("queues", ("1", "2", "8"), ("0", "9", "31", "32", "33", "64"), weight=6),
                CallField("stride", odd=("0", "4")),
                CallField("prio", ("0", "1", "2"), ("3", "4", "255")),
                CallField("compute", odd=("0", "2", "255")),
                CallField("fragment", odd=("0", "2")),
                CallField("tilers", odd=("0", "2")),
                CallField("cores", odd=("0", "-1")),
                CallField("fragments", odd=("0", "-1")),
                CallField("tilings", odd=("0", "-1")),
                CallField("ring", ("0x1000", "0x10000"), ("0", "2048", "12288", "0x80000000")),
                CallField("qprio", ("0", "15"), ("16", "255")),
                PAD,
            ),
            into="g",
            beside=True,
        ),
        Call("group_destroy", 5, (CallField("group", ("g",), always=True), PAD), beside=True),
        Call("group_state", 3, (CallField("group", ("g",), always=True), PAD), beside=True),
        Call(
            "submit",
            22,
            (
                CallField("group", ("g",), always=True),
                CallField("stream", STREAMS, always=True),
                CallField("queue", ("0", "1"), ("8", "31", "-1")),
                CallField("jobs", ("2", "4"), ("0",)),
                CallField("stride", odd=("0", "8")),
                CallField("addr", odd=("0", "0x10000004", "0x7fff0000", "e", "-64")),
                CallField("size", ("8", "64"), ("0", "4", "-8")),
                CallField("flush", odd=("0x1000000", "-1")),
                PAD,
            ),
            syncs=True,
            beside=True,
        ),
        Call(
            "heap_create",
            6,
            (
                VM,
                CallField("chunks", ("1", "2"), ("0", "3", "-1")),
                CallField("size", ("0x20000", "0x80000"), ("0", "0x10000", "0x20001", "0x1000000")),
                CallField("max", ("2", "5", "64"), ("0", "-1")),
                CallField("inflight", ("0", "1", "65535")),
            ),
            into="h",
        ),
        Call(
            "heap_destroy",
            4,
            (CallField("heap", ("h",), ("0x10000", "0x10001", "0x20000", "0x10063"), always=True), PAD),
            beside=True,
        ),
        *LATER_CALLS,
    )
}
ACT_WEIGHTS: Final[Mapping[str, int]] = {  # exit and kill end each process
    "close": 1,
    "look": 3,
    "sleep": 3,
    "suspended": 2,
    "switch": 2,
    "wait": 5,
}
ACT_VALUES: Final[Mapping[str, tuple[str, ...]]] = {"ms": ("1", "5", "20", "60"), "sync": ("0", "1", "2", "3")}
MISDEED_WEIGHT: Final = 4
FOLLOWERS: Final[Mapping[str, tuple[str, ...]]] = {
    "map": ("evict", "touch"),
    "file_map": ("evict", "touch"),
    "evict": ("touch", "submit"),
    "export": ("access", "file_map", "import"),
    "import": ("bind", "map"),
    "access": ("evict", "bind", "access"),
    "sparse": ("unbind", "evict"),
}
"""What often comes next: chains that calls at random seldom make, since each one needs what the one before has made."""

PROVOKED: Final = frozenset({"mmu-fault", "cs-fault", "cs-fatal", "gpu-fault", "job-timeout", "heap-error"})
"""Kinds of finding that any client can provoke by streams and mappings: never the kernel's fault in a script."""
TROUBLE: Final = frozenset({"gpu-reset", "power-error", "firmware-error"})
"""Kinds that a misbehaving GPU provokes: not the kernel's fault in a script with a misdeed."""
MISDEEDS: Final = (
    "tiler-chunk,times=0",
    "tiler-chunk",
    "tiler-oom",
    "tiler-oom,times=0",
    "flush-late,ms=5",
    "power-late,core=l2,ms=5",
    "boot-late,ms=5",
    "reset-late,ms=5",
    "state-late,state=suspend,ms=5",
    "state-late,state=start,ms=5",
    "state-late,state=terminate,ms=5",
    "state-early,state=start,ms=5",
    "state-early,state=resume,ms=5",
    "event-false,event=idle",
    "event-false,event=sync-update",
    "event-late,event=idle,ms=5",
    "event-late,event=tiler-oom,ms=5",
    "event-late,event=sync-update,ms=5",
    "event-late,event=fatal,ms=5",
    "event-lost,event=idle",
    "irq-twice,line=job",
    "irq-twice,line=mmu",
    "irq-twice,line=gpu",
    "irq-storm,line=job,ms=0,times=50",
    "irq-storm,line=gpu,ms=0,times=50",
    "irq-late,line=job,ms=5",
    "irq-late,line=mmu,ms=5",
    "irq-late,line=gpu,ms=5",
    "mmu-fault,requester=prefetch",
    "mmu-fault,requester=lsu",
    "mmu-fault,requester=tiler",
    "cs-fault",
    "cs-fatal,exception=0x48",
    "cs-fatal,exception=0x48,times=3",
)
"""Rules of `panthorlab gpu misdeeds` in scripts."""


@dataclass(frozen=True)
class Exclusion:
    """A construct that the grammar leaves out because unpatched kernels fail on it, and where that is documented."""

    what: str
    why: str


EXCLUSIONS: Final = (
    Exclusion(
        "signal of a syncobj that does not exist: in `signal` there is only s0 to s3, which every file has",
        "docs/findings/0001: oops",
    ),
    Exclusion("a call that waits for the syncobj it signals", "docs/findings/0021: a warning"),
    Exclusion(
        "asynchronous mappings that run when their VM is destroyed, or the file closed: scripts await them",
        "docs/findings/0022: a VM that is never freed",
    ),
    Exclusion(
        "the end of a VM, or of its streams, in a process of which a stream waits for what never comes",
        "docs/findings/0024: a warning",
    ),
    Exclusion(
        "misdeed cs-fatal as it is by default (CS_UNRECOVERABLE), for which the driver resets the GPU",
        "docs/findings/0025: a warning",
    ),
    Exclusion("misdeed as-stuck", "docs/findings/0003: warnings, a VM that is never freed"),
    Exclusion(
        "misdeeds boot-lost, and boot-late by a second or more, for which the driver does not wait",
        "docs/findings/0010 and 0012: no GPU until reboot",
    ),
    Exclusion("misdeed mmu-fault of the MCU", "docs/findings/0023: no job works any more"),
    Exclusion(
        "misdeeds reset-lost, and reset-late by 100 ms or more, for which the driver does not wait",
        "docs/findings/0011: no reset ever again",
    ),
)
