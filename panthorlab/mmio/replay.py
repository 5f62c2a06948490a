# SPDX-License-Identifier: GPL-2.0-or-later
"""Feed recorded accesses to the emulated GPU, and find where its answers are not those of the board.

Nothing is compared by time. What a command brings about comes when it does: the model is let run until it has what the
board had; what the model has already and the board not yet is a *doubt*, which the board's next answer settles. A poll
is one doubt, however many reads it had. A doubt is a difference when the driver gives the next command all the same, or
after `PATIENCE`. After a difference the replay goes on with what the board said.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from panthorlab.gpu.generation import Generation
from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.registers import ALL, McuStatus, Register
from panthorlab.mmio.recording import RegisterAccess
from panthorlab.mmio.rules import (
    CLEAR,
    EXACT,
    LINES,
    PATIENCE,
    RAW,
    ROWS,
    STAT,
    Comparison,
    ComparisonRule,
    FieldDifference,
    InterruptRule,
    fields_apart,
)
from panthorlab.mmio.stand_in import Bench

CONTEXT: Final = 12
"""Accesses before a difference that are told with it."""
GONE: Final = "it was pending, nobody had cleared it, and on the board it was gone"


@dataclass
class ContextLine:
    """An access as people are told of it; a poll is one, read `times` times."""

    number: int
    step: RegisterAccess
    name: str
    model: int | None
    times: int = 1


@dataclass(frozen=True)
class RegisterDifference:
    """At access `number` (counted from 1) the board answered `board` and the model `model`; None: the model refused
    the access. `why` it must not, in words. `before`: the accesses before it and itself."""

    number: int
    step: RegisterAccess
    name: str
    board: int
    model: int | None
    fields: tuple[FieldDifference, ...]
    why: str
    before: tuple[ContextLine, ...]


@dataclass
class ReplayCounts:
    """What the replay came to. `compared`: reads whose answer had to be the model's; `left_out`: reads of what is
    not compared; `undecided`: doubts that the end of the recording, or an INT_CLEAR, has left."""

    accesses: int = 0
    compared: int = 0
    left_out: int = 0
    undecided: int = 0
    registers: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Doubt:
    number: int
    step: RegisterAccess
    model: int


class Replay:
    """One recording on one GPU. `counts` grow as it is fed."""

    def __init__(self, generation: Generation) -> None:
        self.counts = ReplayCounts()
        self._bench = Bench(generation)
        self._places: dict[int, tuple[str, Register | None]] = {
            offset: (name, register) for offset, name, register in generation.places()
        }
        irqs = {irq.name.upper(): irq for irq in self._bench.gpu.irqs}
        self._lines: dict[str, tuple[InterruptRule, IrqBlock]] = {line.name: (line, irqs[line.name]) for line in LINES}
        self._unknown = dict.fromkeys(irqs, ALL)  # bits of RAWSTAT that an earlier life may have left pending
        self._lost = dict.fromkeys(irqs, 0)  # bits that may be gone since the GPU may have had no power
        self._held = dict.fromkeys(irqs, 0)  # bits that both had when last read
        self._doubts: dict[str, _Doubt] = {}
        self._caused: dict[str, int] = {}
        self._before: deque[ContextLine] = deque(maxlen=CONTEXT + 1)
        self._start: int | None = None

    def differences(self, steps: Iterable[RegisterAccess]) -> Iterator[RegisterDifference]:
        """All of them, in order."""
        for step in steps:
            yield from self.feed(step)
        self.counts.undecided += len(self._doubts)
        self._doubts.clear()

    def feed(self, step: RegisterAccess) -> Iterator[RegisterDifference]:
        """The differences that one access shows, usually none."""
        self.counts.accesses += 1
        if self._start is None:
            self._start = step.time
        self._bench.until((step.time - self._start) / 1e6)
        if step.bits == 64:
            for half in range(2):
                low = RegisterAccess(step.time, step.cpu, step.task, step.write, step.offset + 4 * half,
                           step.value >> 32 * half & ALL, step.by)  # fmt: skip
                yield from self._word(low)
        elif step.bits == 32 and not step.offset & 3:
            yield from self._word(step)
        else:
            name, register = self._name(step.offset & ~3)
            self._tell(step, name, None)
            yield self._difference(step, name, register, None, f"an access of {step.bits} bits: the model has words")

    def _word(self, step: RegisterAccess) -> Iterator[RegisterDifference]:
        name, register = self._name(step.offset)
        if step.write:
            yield from self._write(step, name, register)
        else:
            yield from self._read(step, name, register)

    # --- writes

    def _write(self, step: RegisterAccess, name: str, register: Register | None) -> Iterator[RegisterDifference]:
        self._tell(step, name, None)
        plain = register.name if register is not None else name
        yield from self._close(step, name, plain)
        self._bench.gpu.write(step.offset, step.value)
        for line, _ in self._lines.values():
            if plain == f"{line.name}_{CLEAR}":
                self._held[line.name] &= ~step.value
                self._unknown[line.name] &= ~step.value
                self._drop_doubts(line.name)
            elif (
                plain == "L2_PWROFF_LO"
            ):  # the driver suspends: the power of the whole GPU may go, which nobody records
                self._lost[line.name], self._held[line.name] = self._lines[line.name][1].raw, 0
        if refused := self._bench.refusals.take():
            yield self._difference(step, name, register, None, f"the model does not have that: {'; '.join(refused)}")

    def _close(self, step: RegisterAccess, name: str, plain: str) -> Iterator[RegisterDifference]:
        """A command is given: what the one before has not brought about will not come any more."""
        for waiting, doubt in list(self._doubts.items()):
            other, register = self._name(doubt.step.offset)
            row = ROWS.get(register.name) if register is not None else None
            if row is None or plain not in row.causes or (plain == "COMMAND" and not _same_space(name, other)):
                continue
            del self._doubts[waiting]
            why = f"{row.why}, but the driver went on with a write of 0x{step.value:x} to {name}"
            yield self._difference(doubt.step, other, register, doubt.model, why, number=doubt.number)
        self._caused[name] = self._caused[plain] = step.time

    def _drop_doubts(self, line: str) -> None:
        for name in (f"{line}_{RAW}", f"{line}_{STAT}"):
            self.counts.undecided += self._doubts.pop(name, None) is not None

    # --- reads

    def _read(self, step: RegisterAccess, name: str, register: Register | None) -> Iterator[RegisterDifference]:
        plain = register.name if register is not None else name
        line = next(
            (one for one, _ in self._lines.values() if plain in (f"{one.name}_{RAW}", f"{one.name}_{STAT}")), None
        )
        row = ComparisonRule(Comparison.SETTLES, "a command raises it", line.causes) if line else ROWS.get(plain, EXACT)
        if row.rule is Comparison.FREE:
            self.counts.left_out += 1
            self._tell(step, name, None)
            return
        if line is not None:
            self._take(line, plain.endswith(STAT), step.value)
        elif plain == "MCU_STATUS":
            self._take_status(step.value)
        model = self._answer(step, row)
        self.counts.compared += 1
        self.counts.registers[name] += 1
        self._tell(step, name, model)
        if refused := self._bench.refusals.take():
            yield self._difference(step, name, register, None, f"the model does not have that: {refused[0]}")
            return
        gone = 0
        if line is not None and plain.endswith(RAW):
            gone = self._held[line.name] & model & ~step.value
            self._held[line.name] = step.value & model
            self._lines[line.name][1].drop(gone)
        if model == step.value:
            self._doubts.pop(name, None)
        elif gone:
            yield self._difference(step, name, register, model, GONE)
        elif row.rule is Comparison.EXACT:
            yield self._difference(step, name, register, model, row.why)
        elif step.time - self._since(row, name) >= PATIENCE:
            self._doubts.pop(name, None)
            waited = (step.time - self._since(row, name)) / 1000
            why = f"{row.why}, but {waited:.0f} ms after the last command they still differ"
            yield self._difference(step, name, register, model, why)
        else:
            self._doubts[name] = _Doubt(self.counts.accesses, step, model)

    def _answer(self, step: RegisterAccess, row: ComparisonRule) -> int:
        """What the model says; it may have to run until it says what the board did."""
        model = self._bench.gpu.read(step.offset)
        while row.rule is Comparison.SETTLES and model != step.value and self._bench.next_event():
            model = self._bench.gpu.read(step.offset)
        return model

    def _take(self, line: InterruptRule, stat: bool, board: int) -> None:
        """Raise and drop what only the recording can know. In INT_STAT only bits of the mask are seen."""
        irq = self._lines[line.name][1]
        outside = line.environment | line.shared if self._bench.mcu.status != McuStatus.DISABLED else 0
        seen = irq.mask if stat else ALL
        irq.drop((outside | self._lost[line.name]) & seen & ~board)
        irq.set((outside | self._unknown[line.name]) & seen & board)
        self._lost[line.name] &= ~seen
        self._unknown[line.name] &= ~seen

    def _take_status(self, board: int) -> None:
        status = self._bench.mcu.status
        if McuStatus.DISABLED not in (status, board) and board <= McuStatus.FATAL:
            self._bench.mcu.status_is(board)

    def _since(self, row: ComparisonRule, name: str) -> int:
        """When the last command was given that brings this about."""
        start = self._start or 0
        own = f"{name.removesuffix('STATUS')}COMMAND"  # of the same address space
        names = [own if own in self._caused and one == "COMMAND" else one for one in row.causes]
        return max((self._caused[one] for one in names if one in self._caused), default=start)

    # --- telling

    def _name(self, offset: int) -> tuple[str, Register | None]:
        return self._places.get(offset, (f"0x{offset:x}", None))

    def _tell(self, step: RegisterAccess, name: str, model: int | None) -> None:
        last = self._before[-1] if self._before else None
        if (
            last is not None
            and not step.write
            and (last.name, last.step.write, last.step.value, last.model) == (name, False, step.value, model)
        ):
            last.times += 1
            return
        self._before.append(ContextLine(self.counts.accesses, step, name, model))

    def _difference(
        self,
        step: RegisterAccess,
        name: str,
        register: Register | None,
        model: int | None,
        why: str,
        *,
        number: int | None = None,
    ) -> RegisterDifference:
        apart = tuple(fields_apart(register, step.value, model)) if model is not None else ()
        before = tuple(ContextLine(one.number, one.step, one.name, one.model, one.times) for one in self._before)
        return RegisterDifference(number or self.counts.accesses, step, name, step.value, model, apart, why, before)


def _same_space(name: str, other: str) -> bool:
    return name.partition("_")[0] == other.partition("_")[0]
