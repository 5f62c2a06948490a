# SPDX-License-Identifier: GPL-2.0-or-later
"""Binds instruction words to closures, for all execution units."""

from __future__ import annotations

from panthorlab.gpu.cs.codec import BadInstructionError, Instruction, decode
from panthorlab.gpu.cs.flow import FLOW
from panthorlab.gpu.cs.loadstore import LOAD_STORE
from panthorlab.gpu.cs.machine import CS_INSTR_INVALID, CsFatalError, Effect, Simple, StreamMachine, Tail
from panthorlab.gpu.cs.opcodes import InstructionSet
from panthorlab.gpu.cs.registers import SIMPLE, nop
from panthorlab.gpu.cs.sync import SYNC, SYNC_WAIT
from panthorlab.gpu.cs.work import HEAP, WORK

CONTROL = {**FLOW, **LOAD_STORE, **SYNC_WAIT, **WORK}
DEFERRABLE = {**SYNC, **HEAP}


__all__ = ["CONTROL", "DEFERRABLE", "SIMPLE", "bind", "deferred_effect"]


def deferred_effect(isa: InstructionSet, word: int) -> tuple[Instruction, Effect]:
    """Decode the word of a deferred operation; returns it with its effect. Raises BadInstructionError."""
    instruction = decode(isa, word)
    if instruction.spec.mnemonic not in DEFERRABLE:
        raise BadInstructionError(f"{instruction.spec.mnemonic} cannot be deferred")
    return instruction, DEFERRABLE[instruction.spec.mnemonic][1](instruction)


def _deferrable(i: Instruction) -> Tail:
    make_operands, make_effect = DEFERRABLE[i.spec.mnemonic]
    operands, effect = make_operands(i), make_effect(i)
    wait, signal, word = i["wait"], i["signal"], i.word
    own = wait >> signal & 1  # the signal slot is incremented before the wait: such an operation waits for itself

    def deferrable(machine: StreamMachine, pc: int) -> int:
        a, b = operands(machine.regs)
        if own or machine.busy & wait:
            machine.defer(word, wait, signal, effect, a, b)
        else:
            effect(machine, a, b)
        return pc + 8

    return deferrable


def _invalid(_: StreamMachine, pc: int) -> int:
    raise CsFatalError(CS_INSTR_INVALID, pc)


def _with_reserved_bits(i: Instruction, tail: Tail | None, simple: Simple | None) -> Tail:
    def reserved(machine: StreamMachine, pc: int) -> int:
        machine.firmware.unmodelled("cs-reserved-bits", f"{i.spec.mnemonic} 0x{i.word:016x} at 0x{pc:x}")
        if tail is not None:
            return tail(machine, pc)
        if simple is not None:
            simple(machine.regs)
        return pc + 8

    return reserved


_SKIPPING_DOES = frozenset({"WAIT", "JUMP", "LOAD_MULTIPLE", "ERROR_BARRIER", *SIMPLE})


def bind(isa: InstructionSet, word: int, *, skipping: bool = False) -> tuple[Simple | None, Tail | None]:
    """The closure of `word`: a `Simple` or a `Tail`. `skipping`: as executed between a fault and ERROR_BARRIER."""
    try:
        i = decode(isa, word)
    except BadInstructionError:
        return (nop, None) if skipping else (None, _invalid)
    name = i.spec.mnemonic
    if skipping and name not in _SKIPPING_DOES and not (name in DEFERRABLE and i.values.get("propagate")):
        return nop, None
    simple = tail = None
    if name in SIMPLE:
        simple = SIMPLE[name](i)
    else:
        tail = CONTROL[name](i) if name in CONTROL else _deferrable(i)
    if i.reserved:
        return None, _with_reserved_bits(i, tail, simple)
    return simple, tail
