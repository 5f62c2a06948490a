# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls that panthor 1.0 has not, and what else can be done to a buffer: files of it, mappings of the CPU, memory that
is let go. A kernel that has a call not yet refuses it, and one without swap lets nothing go; neither is a finding."""

from __future__ import annotations

from typing import Final

from panthorlab.fuzz.call import BIND, PAD, SIZE, Call, CallField

_BO = CallField("bo", ("b",), always=True)
_FILE = CallField("file", ("f",), always=True)
_MAP = CallField("map", ("m",), always=True)
_FROM = CallField("from", odd=("0x1000", "0x800", "-4096"))
_ROOM = CallField("size", ("0x1000", "0x4000", "0x10000"), ("0", "0x800", "0x8000000", "-4096"))

_SPARSE = Call(
    "sparse",
    6,
    (
        *(field for field in BIND if field is not SIZE),
        CallField("size", ("0x1000", "0x200000", "0x3ff000", "0x600000"), SIZE.odd, weight=2),
        CallField("flags", ("0xa", "0xb", "0xe"), ("8", "9", "0x1000000a", "0x2000000a"), weight=2),
        CallField("async", odd=("2",)),
        CallField("bo", odd=("b",)),
        CallField("offset", odd=("0x1000",)),
    ),
    awaited=True,
    beside=True,
)
_BUFFERS = (
    Call(
        "bo_sync",
        3,
        (
            _BO,
            CallField("type", ("0", "1"), ("2", "-1")),
            CallField("offset", ("0", "0x1000", "100"), ("0x10000", "-4096", "-1"), weight=2),
            CallField("size", ("0x1000", "0x2000", "100"), ("-1", "0x8000000000000000", "0x800000"), weight=2),
            CallField("ops", ("1", "2"), ("0", "4")),
            CallField("stride", odd=("0", "8")),
        ),
        beside=True,
    ),
    Call("bo_info", 1, (_BO, PAD)),
    Call(
        "bo_label",
        1,
        (_BO, CallField("label", ("0",), ("0x10", "-1")), CallField("end", odd=("0x78",)), PAD),
        beside=True,
    ),
)
_QUERIES = (
    Call("mmio_offset", 1, (CallField("offset", ("0x80000000000", "0x100000000000000"), ("0", "1", "-1")),)),
    Call(
        "query_time",
        2,
        (
            CallField("flags", ("1", "3", "5", "0x11", "0x23", "0xf3"), ("6", "0x100", "0x80000000"), always=True),
            CallField("size", ("16", "24"), ("0", "4", "4096")),
            CallField("pointer", ("0",), ("0x10",)),
        ),
        beside=True,
    ),
)
_FILES = (
    Call("export", 5, (_BO, CallField("flags", ("0", "0x80002"), ("0x40000000", "1"))), into="f"),
    Call("import", 4, (_FILE, CallField("flags", odd=("1",))), into="b"),
    Call("file_close", 1, (_FILE,)),
    Call(
        "access",
        3,
        (_FILE, CallField("flags", ("1", "2", "3", "5", "6", "7"), ("0", "4", "8"), always=True)),
        beside=True,
    ),
)
_MAPPINGS = (
    Call("map", 5, (_BO, _FROM, _ROOM), into="m"),
    Call("file_map", 2, (_FILE, _FROM, _ROOM), into="m"),
    Call(
        "mmio_map",
        1,
        (
            CallField("offset", ("0x80000000000", "0x100000000000000"), ("0x80000001000", "0x100000000001000")),
            CallField("size", odd=("0", "0x2000")),
            CallField("flags", odd=("3", "5")),
        ),
        into="m",
    ),
    Call("touch", 4, (_MAP,)),
    Call(
        "unmap",
        3,
        (
            _MAP,
            CallField("from", ("0x1000", "0x2000", "0x3000"), ("0x800", "0x10000000")),
            CallField("size", ("0x1000", "0x2000"), ("0", "0x800")),
        ),
    ),
    Call(
        "evict",
        6,
        (CallField("pages", ("1", "16", "256"), ("0",)), CallField("out", ("0", "1", "1"), always=True)),
        beside=True,
    ),
)

LATER_CALLS: Final = (_SPARSE, *_BUFFERS, *_QUERIES, *_FILES, *_MAPPINGS)
