# SPDX-License-Identifier: GPL-2.0-or-later
"""Translates a hot loop into one Python function.

A translation depends only on the loop's words, so `fetch` caches it by the words: the loop's address does not matter,
and the look-up proves that memory still holds these words. Instructions that can raise or have visible effects behave
as the interpreter's closures do; only dispatch and operands are folded into the source. A loop with any other
instruction (calls, sync objects, work) is interpreted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

from panthorlab.gpu.cs.codec import BadInstructionError, Instruction, decode
from panthorlab.gpu.cs.loadstore import LSU, runs_of
from panthorlab.gpu.cs.machine import M32, M64
from panthorlab.gpu.cs.opcodes import InstructionSet
from panthorlab.gpu.cs.state import BlockedReason

if TYPE_CHECKING:
    from panthorlab.gpu.cs.machine import StreamMachine

LONGEST = 64
"""Maximum length of a translated loop in instructions; longer ones lose little time to dispatch."""

CompiledLoop = Callable[["StreamMachine", list[int], int, int, int], tuple[int, int]]
"""(machine, registers, address, instructions left, least) -> (address, instructions left). Runs whole rounds as long as
at least `least` instructions are left after each. When it raises, PC and the instructions left are those of the
instruction that raised."""

_CONDITION = (
    "v == 0 or v >= 0x80000000",
    "0 < v < 0x80000000",
    "v == 0",
    "v != 0",
    "v >= 0x80000000",
    "v < 0x80000000",
    "True",
)


def translate(isa: InstructionSet, words: tuple[int, ...]) -> CompiledLoop | None:
    """Translate the loop whose last word branches to its first. None: it has an instruction that is not translated."""
    if len(words) > LONGEST:
        return None
    try:
        body = [decode(isa, word) for word in words]
    except BadInstructionError:
        return None
    *others, last = body
    backward = last.spec.mnemonic == "BRANCH" and last["offset"] == -len(words)
    if not backward or any(i.reserved or i.spec.mnemonic not in _SOURCE for i in body):
        return None
    count = len(words)
    lines = ["def loop(m, r, at, left, least):", f"    least += {count}", "    while left >= least:"]
    for place, i in enumerate(others):
        lines += [f"        {line}" for line in _SOURCE[i.spec.mnemonic](i, place)]
    lines += [
        f"        v = r[{last['value']}]",
        f"        left -= {count}",
        f"        if not ({_CONDITION[last['cond']]}):",
        f"            return at + {8 * count}, left",
        "    return at, left",
    ]
    names: dict[str, object] = {
        "pack": struct.pack,
        "unpack": struct.unpack,
        "LSU": LSU,
        "SCOREBOARD": BlockedReason.SCOREBOARD,
    }
    exec("\n".join(lines), names)  # noqa: S102 - made of decoded integers alone
    return cast(CompiledLoop, names["loop"])


# --- one instruction as lines of source; `place` counts instructions from the loop's head


def _here(place: int) -> str:
    return f"m.pc = at + {8 * place}; m.left = left - {place}"


def _nop(_i: Instruction, _place: int) -> Iterator[str]:
    yield from ()


def _move(i: Instruction, _place: int) -> Iterator[str]:
    yield f"r[{i['dst']}] = {i['imm'] & M32}; r[{i['dst'] + 1}] = {i['imm'] >> 32}"


def _move32(i: Instruction, _place: int) -> Iterator[str]:
    yield f"r[{i['dst']}] = {i['imm']}"


def _add32(i: Instruction, _place: int) -> Iterator[str]:
    yield f"r[{i['dst']}] = (r[{i['src']}] + {i['imm']}) & {M32}"


def _add64(i: Instruction, _place: int) -> Iterator[str]:
    yield f"v = (r[{i['src']}] | r[{i['src'] + 1}] << 32) + {i['imm']}"
    yield f"r[{i['dst']}] = v & {M32}; r[{i['dst'] + 1}] = v >> 32 & {M32}"


def _umin32(i: Instruction, _place: int) -> Iterator[str]:
    yield f"r[{i['dst']}] = min(r[{i['src1']}], r[{i['src2']}])"


def _wait(i: Instruction, place: int) -> Iterator[str]:
    yield f"if m.busy & {i['wait']}:"
    yield f"    {_here(place)}"
    yield f"    raise m.hold(SCOREBOARD, {i['wait'] | 8 << 16})"
    if i["progress"]:
        yield "m.advance_progress(True)"


def _address(i: Instruction) -> str:
    return f"va = (r[{i['addr']}] | r[{i['addr'] + 1}] << 32) + {i['offset']}"


def _load(i: Instruction, place: int) -> Iterator[str]:
    yield _here(place)
    yield _address(i)
    runs = runs_of(i["mask"])
    for n, (first, count) in enumerate(runs):
        yield f"d{n} = m.memory.read(va + {4 * first} & {M64}, {4 * count}, LSU)"
    for n, (first, count) in enumerate(runs):
        start = i["base"] + first
        yield f"r[{start}:{start + count}] = unpack('<{count}I', d{n})"


def _store(i: Instruction, place: int) -> Iterator[str]:
    yield f"{_here(place)}; code = m.code"
    yield _address(i)
    for first, count in runs_of(i["mask"]):
        start = i["base"] + first
        values = ", ".join(f"r[{n}]" for n in range(start, start + count))
        yield f"m.store(va + {4 * first} & {M64}, pack('<{count}I', {values}))"
    yield "if m.code is not code:"  # the program has overwritten fetched code, maybe this loop
    yield f"    return at + {8 * place + 8}, left - {place + 1}"


_SOURCE: Mapping[str, Callable[[Instruction, int], Iterator[str]]] = {
    "NOP": _nop,
    "MOVE": _move,
    "MOVE32": _move32,
    "ADD_IMM32": _add32,
    "ADD_IMM64": _add64,
    "UMIN32": _umin32,
    "WAIT": _wait,
    "LOAD_MULTIPLE": _load,
    "STORE_MULTIPLE": _store,
    "BRANCH": _nop,
}
