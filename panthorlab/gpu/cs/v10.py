# SPDX-License-Identifier: GPL-2.0-or-later
"""The v10 command stream instruction set, that of Mali-G610. Bit ranges: Mesa's `genxml/v10.xml`."""

from __future__ import annotations

from panthorlab.gpu.cs.opcodes import Field, FieldKind, InstructionSet, Spec


def _u(name: str, high: int, low: int, *allowed: int) -> Field:
    return Field(name, high, low, FieldKind.UNSIGNED, frozenset(allowed) if allowed else None)


def _s(name: str, high: int, low: int) -> Field:
    return Field(name, high, low, FieldKind.SIGNED)


def _r(name: str, low: int) -> Field:
    return Field(name, low + 7, low, FieldKind.REG)


def _d(name: str, low: int) -> Field:
    return Field(name, low + 7, low, FieldKind.PAIR)


def _flag(name: str, bit: int) -> Field:
    return Field(name, bit, bit)


_WAIT = Field("wait", 31, 16, FieldKind.SLOTS)
_SIGNAL = Field("signal", 51, 48, FieldKind.SLOT)
_PROGRESS = _flag("progress", 32)
_SELECTS = (_u("srt", 41, 40), _u("spd", 43, 42), _u("tsd", 45, 44), _u("fau", 47, 46))
_FLUSH = (0, 1, 2, 3)  # none, clean, invalidate, both


def _sync_write(data: Field) -> tuple[Field, ...]:
    return (_flag("propagate", 0), _u("scope", 2, 1, 0, 2), _WAIT, data, _d("addr", 40), _SIGNAL)


def _sync_wait(data: Field) -> tuple[Field, ...]:
    return (_flag("reject", 0), _u("cond", 31, 28, 0, 1), data, _d("addr", 40))


_TABLE: tuple[Spec, ...] = (
    Spec(0, "NOP", (_u("ignored", 55, 0),)),
    Spec(1, "MOVE", (_u("imm", 47, 0), _d("dst", 48))),
    Spec(2, "MOVE32", (_u("imm", 31, 0), _r("dst", 48))),
    Spec(3, "WAIT", (_WAIT, _PROGRESS)),
    Spec(4, "RUN_COMPUTE", (_u("task_increment", 13, 0), _u("axis", 15, 14, 0, 1, 2), _PROGRESS, *_SELECTS)),
    Spec(5, "RUN_TILING", (_u("flags", 31, 0), _PROGRESS, *_SELECTS)),
    Spec(
        6,
        "RUN_IDVS",
        (
            _u("flags", 31, 0),
            _PROGRESS,
            _flag("malloc", 33),
            _flag("draw_id_enable", 34),
            _flag("varying_srt", 35),
            _flag("varying_fau", 36),
            _flag("varying_tsd", 37),
            _flag("fragment_srt", 38),
            _flag("fragment_tsd", 39),
            _u("draw_id", 47, 40),
        ),
    ),
    Spec(7, "RUN_FRAGMENT", (_flag("tem", 0), _u("tile_order", 7, 4), _PROGRESS)),
    Spec(8, "RUN_FULLSCREEN", (_u("flags", 31, 0), _PROGRESS, _d("dcd", 40))),
    Spec(9, "FINISH_TILING", (_PROGRESS,)),
    Spec(11, "FINISH_FRAGMENT", (_flag("frag_end", 0), _WAIT, _d("last", 32), _d("first", 40), _SIGNAL)),
    Spec(16, "ADD_IMM32", (_s("imm", 31, 0), _r("src", 40), _r("dst", 48))),
    Spec(17, "ADD_IMM64", (_s("imm", 31, 0), _d("src", 40), _d("dst", 48))),
    Spec(18, "UMIN32", (_r("src1", 32), _r("src2", 40), _r("dst", 48))),
    Spec(20, "LOAD_MULTIPLE", (_s("offset", 15, 0), _u("mask", 31, 16), _d("addr", 40), _r("base", 48))),
    Spec(21, "STORE_MULTIPLE", (_s("offset", 15, 0), _u("mask", 31, 16), _d("addr", 40), _r("base", 48))),
    Spec(22, "BRANCH", (_s("offset", 15, 0), _u("cond", 30, 28, 0, 1, 2, 3, 4, 5, 6), _r("value", 40))),
    Spec(23, "SET_SB_ENTRY", (Field("endpoint", 3, 0, FieldKind.SLOT), Field("other", 7, 4, FieldKind.SLOT))),
    Spec(24, "PROGRESS_WAIT", (_u("queue", 4, 0), _d("src", 40))),
    Spec(25, "SET_EXCEPTION_HANDLER", (_u("type", 7, 0, 2), _r("length", 32), _d("addr", 40))),
    Spec(32, "CALL", (_r("length", 32), _d("addr", 40))),
    Spec(33, "JUMP", (_r("length", 32), _d("addr", 40))),
    Spec(34, "REQ_RESOURCE", (_flag("compute", 0), _flag("fragment", 1), _flag("tiler", 2), _flag("idvs", 3))),
    Spec(
        36,
        "FLUSH_CACHE2",
        (
            _u("l2", 3, 0, *_FLUSH),
            _u("lsc", 7, 4, *_FLUSH),
            _u("other", 11, 8, *_FLUSH),
            _WAIT,
            _r("flush_id", 40),
            _SIGNAL,
        ),
    ),
    Spec(37, "SYNC_ADD32", _sync_write(_r("data", 32))),
    Spec(38, "SYNC_SET32", _sync_write(_r("data", 32))),
    Spec(39, "SYNC_WAIT32", _sync_wait(_r("data", 32))),
    Spec(40, "STORE_STATE", (_s("offset", 15, 0), _WAIT, _u("state", 33, 32), _d("addr", 40), _SIGNAL)),
    Spec(41, "PROT_REGION", (_u("size", 15, 0),)),
    Spec(42, "PROGRESS_STORE", (_d("src", 40),)),
    Spec(43, "PROGRESS_LOAD", (_d("dst", 48),)),
    Spec(44, "RUN_COMPUTE_INDIRECT", (_u("workgroups_per_task", 15, 0), _PROGRESS, *_SELECTS)),
    Spec(47, "ERROR_BARRIER"),
    Spec(48, "HEAP_SET", (_d("addr", 40),)),
    Spec(49, "HEAP_OPERATION", (_WAIT, _u("operation", 33, 32, 0, 1, 3), _SIGNAL)),
    Spec(50, "TRACE_POINT", (_WAIT, _r("base", 32), _u("count", 47, 40), _SIGNAL)),
    Spec(51, "SYNC_ADD64", _sync_write(_d("data", 32))),
    Spec(52, "SYNC_SET64", _sync_write(_d("data", 32))),
    Spec(53, "SYNC_WAIT64", _sync_wait(_d("data", 32))),
)

V10 = InstructionSet("v10", registers=96, scoreboards=8, call_depth=8, table=_TABLE)
