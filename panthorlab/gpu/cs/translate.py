# SPDX-License-Identifier: GPL-2.0-or-later
"""Translates hot code into Python functions: loops, and runs of instructions that are entered often.

A translation depends only on the code's words, so `fetch` finds it by the words: the address does not matter, and the
look-up proves that memory still holds these words. Register instructions, loads, stores and waits are folded into the
source; of the others (work, waits for sync objects), it calls the interpreter's closures. A translation is left where
one of these goes on elsewhere, and where code that was fetched is overwritten.

Within a loop, a branch over instructions is an `if`. Those it passes over are given back to the instructions left, so
that these are always what is left at the loop's head less the places passed. Any other branch forward, out of the loop
or out of such an `if`, is taken by leaving the translation.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from panthorlab.gpu.cs.codec import BadInstructionError, Instruction, decode
from panthorlab.gpu.cs.loadstore import LSU, runs_of
from panthorlab.gpu.cs.machine import M32, M64, Block, Simple, Tail
from panthorlab.gpu.cs.opcodes import InstructionSet
from panthorlab.gpu.cs.state import BlockedReason
from panthorlab.gpu.cs.units import bind

if TYPE_CHECKING:
    from panthorlab.gpu.cs.machine import StreamMachine

LONGEST = 64
"""Maximum length of translated code in instructions; longer loops lose little time to dispatch."""

CompiledLoop = Callable[["StreamMachine", int, int], tuple[int, int]]
"""(machine, address, rounds) -> (address, rounds not made). A round ends with the branch back; none is begun for whose
whole length the instructions left would not suffice. As after any `Tail`, PC and the instructions left are those of the
instruction that was executed last, or that raised.
"""

_CONDITION = (
    "v == 0 or v >= 0x80000000",
    "0 < v < 0x80000000",
    "v == 0",
    "v != 0",
    "v >= 0x80000000",
    "v < 0x80000000",
    "True",
)
_LAST = frozenset({"CALL"})
"""What goes on elsewhere: no run goes on after it."""
_LOOPS = frozenset({"BRANCH", "JUMP"})
"""What a loop ends with: the interpreter must see it."""


def translate(isa: InstructionSet, words: tuple[int, ...]) -> CompiledLoop | None:
    """Translate the loop whose last word branches to its first. None: it has an instruction that is not translated."""
    if len(words) > LONGEST:
        return None
    try:
        *others, last = [decode(isa, word) for word in words]
    except BadInstructionError:
        return None
    backward = last.spec.mnemonic == "BRANCH" and last["offset"] == -len(words) and not last.reserved
    if not backward or not all(_stays_forward(i) for i in others):
        return None
    count = len(words)
    lines = [
        "def loop(m, at, rounds):",
        "    r = m.regs; left = m.left; blocks = m.blocks",
        f"    while rounds and left >= {count}:",
        *_indented(_branching(others, 0), 2),
        f"        v = r[{last['value']}]",
        f"        left -= {count}",
        f"        if not ({_CONDITION[last['cond']]}):",
        "            m.left = left + 1",
        f"            return at + {8 * count}, rounds",
        "        rounds -= 1",
        "    m.left = left + 1",
        "    return at, rounds",
    ]
    return cast(CompiledLoop, _compiled(isa, words, lines))


def _stays_forward(i: Instruction) -> bool:
    if i.spec.mnemonic == "BRANCH":
        return i["offset"] >= 0 and not i.reserved
    return i.spec.mnemonic not in _LAST | _LOOPS


def _branching(instructions: Sequence[Instruction], first: int) -> Iterator[str]:
    """Lines for `instructions`, the first of which has place `first`, and for the branches among them."""
    at, end = 0, len(instructions)
    while at < end:
        i, place = instructions[at], first + at
        at += 1
        if i.spec.mnemonic != "BRANCH":
            yield from _source([i], place, ", rounds")
            continue
        passed = i["offset"]
        if not passed:
            continue
        yield f"v = r[{i['value']}]"
        yield f"if {_CONDITION[i['cond']]}:"
        if at + passed > end:
            yield f"    {_here(place)}"
            yield f"    return tails[{place}](m, m.pc), rounds"
            continue
        yield f"    left += {passed}"
        yield "else:"
        yield from _indented([*_branching(instructions[at : at + passed], place + 1), "pass"], 1)
        at += passed


def _indented(lines: Iterable[str], depth: int) -> Iterator[str]:
    return (4 * depth * " " + line for line in lines)


def translate_run(isa: InstructionSet, words: Sequence[int], block: Block) -> Tail | None:
    """Translate as much as runs straight on from the first word, at which `block` begins. Executes that alone if the
    instructions left do not suffice for all. None: nothing is gained."""
    run: list[Instruction] = []
    for word in words[:LONGEST]:
        try:
            run.append(decode(isa, word))
        except BadInstructionError:
            break
        if run[-1].spec.mnemonic in _LOOPS:
            run.pop()
            break
        if run[-1].spec.mnemonic in _LAST:
            break
    count = len(run)
    simples, length, tail = block
    if tail is None or count < length + 2:
        return None
    lines = [
        "def run(m, at):",
        "    r = m.regs; left = m.left; blocks = m.blocks",
        f"    if left < {count}: return block(m, at)",
        *_indented(_source(run), 1),
        f"    {_here(count - 1)}",
        f"    return at + {8 * count}",
    ]
    return cast(Tail, _compiled(isa, words[:count], lines, block=_alone(simples, tail)))


def _alone(simples: Sequence[Simple], tail: Tail) -> Tail:
    """Executes a block as the interpreter does."""
    count = len(simples)

    def alone(machine: StreamMachine, pc: int) -> int:
        left = machine.left
        for simple in simples[:left]:
            simple(machine.regs)
        if left <= count:
            machine.pc, machine.left = pc + 8 * left - 8, 1
            return pc + 8 * left
        machine.pc, machine.left = pc + 8 * count, left - count
        return tail(machine, machine.pc)

    return alone


def _compiled(isa: InstructionSet, words: Sequence[int], lines: list[str], **names: object) -> object:
    names |= {
        "pack": struct.pack,
        "unpack": struct.unpack,
        "LSU": LSU,
        "SCOREBOARD": BlockedReason.SCOREBOARD,
        "tails": [bind(isa, word)[1] for word in words],
    }
    exec("\n".join(lines), names)  # noqa: S102 - made of decoded integers alone
    return names[lines[0].removeprefix("def ").partition("(")[0]]


def _source(instructions: Sequence[Instruction], first: int = 0, also: str = "") -> Iterator[str]:
    """Lines for `instructions` without branches; the first has place `first`. `also`: what the function returns beside
    the address."""
    for place, i in enumerate(instructions, first):
        emit = _closure if i.reserved else _SOURCE.get(i.spec.mnemonic, _closure)
        yield from emit(i, place)
        if emit in _LEAVES:
            yield "if m.blocks is not blocks:"  # it goes on elsewhere, or has overwritten fetched code, maybe this
            yield f"    return pc{also}"


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
    words, at = i["mask"].bit_count(), 0
    if not words:
        return
    yield _here(place)
    yield _address(i)
    yield f"d = unpack('<{words}I', m.memory.read(va & {M64}, {4 * words}, LSU))"
    for first, count in runs_of(i["mask"]):
        start = i["base"] + first
        yield f"r[{start}:{start + count}] = d[{at}:{at + count}]"
        at += count


def _store(i: Instruction, place: int) -> Iterator[str]:
    words = i["mask"].bit_count()
    if not words:
        return
    yield _here(place)
    yield _address(i)
    values = ", ".join(f"r[{i['base'] + n}]" for n in range(16) if i["mask"] >> n & 1)
    yield f"m.store(va & {M64}, pack('<{words}I', {values})); pc = m.pc + 8"


def _sync_write(i: Instruction, place: int) -> Iterator[str]:
    if i["propagate"] or i["wait"]:  # the status, too, or maybe later
        yield from _closure(i, place)
        return
    size, wide = (8, "Q") if i.spec.mnemonic.endswith("64") else (4, "I")
    yield _here(place)
    yield f"va = r[{i['addr']}] | r[{i['addr'] + 1}] << 32"
    yield f"v = r[{i['data']}]" + (f" | r[{i['data'] + 1}] << 32" if size == 8 else "")
    if i.spec.mnemonic.startswith("SYNC_ADD"):
        yield f"v = unpack('<{wide}', m.memory.read(va, {size}, LSU))[0] + v & {(1 << 8 * size) - 1}"
    yield f"m.store(va, pack('<{wide}', v))"
    yield f"m.firmware.{'wake_group' if i['scope'] else 'sync_update'}(); pc = m.pc + 8"


def _closure(_i: Instruction, place: int) -> Iterator[str]:
    yield _here(place)
    yield f"pc = tails[{place}](m, m.pc)"


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
    **dict.fromkeys(("SYNC_ADD32", "SYNC_SET32", "SYNC_ADD64", "SYNC_SET64"), _sync_write),
}
_LEAVES = frozenset({_store, _sync_write, _closure})
"""What may go on elsewhere than behind itself, or write to memory. `pc` is then where to go on."""
