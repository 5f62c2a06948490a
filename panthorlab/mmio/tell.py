# SPDX-License-Identifier: GPL-2.0-or-later
"""What a replay has found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from panthorlab.jsonvalue import JsonObject
from panthorlab.mmio.recording import RecordingHead
from panthorlab.mmio.replay import ContextLine, RegisterDifference, ReplayCounts


def summary(head: RecordingHead, model: str, counts: ReplayCounts) -> Iterator[str]:
    """What was compared with what, in lines."""
    yield f"recorded: {head.driver} of Linux {head.kernel} on {head.board} ({head.machine}), GPU_ID 0x{head.gpu_id:08x}"
    if not head.whole:
        yield "          the board's buffer was full before the end: what came after was not recorded"
    yield (
        f"model {model}: {counts.accesses} accesses, {counts.compared} reads of {len(counts.registers)} registers "
        f"compared, {counts.left_out} left out (time, memory, firmware), {counts.undecided} undecided"
    )


def difference(found: RegisterDifference, title: str) -> Iterator[str]:
    """One difference, in lines: the register, what either said, field by field, and what led to it."""
    step = found.step
    yield f"{title}: access {found.number}, {_what(step.write)} of {found.name} (0x{step.offset:x}) by {step.by}"
    if step.write:
        yield f"  written 0x{found.board:08x}"
    else:
        yield f"  board   0x{found.board:08x}"
        yield f"  model   {'refused' if found.model is None else f'0x{found.model:08x}'}"
    for part in found.fields:
        yield f"  {part.name:20} board {_number(part.board)}, model {_number(part.model)}"
    yield f"  {found.why}"
    yield "  what led to it:"
    yield from (f"  {line}" for line in _context(found.before))


def to_json(found: RegisterDifference) -> JsonObject:
    """The same as JSON; registers and values are hex strings."""
    return {
        "access": found.number,
        "microseconds": found.step.time,
        "op": _what(found.step.write),
        "register": found.name,
        "offset": hex(found.step.offset),
        "by": found.step.by,
        "board": hex(found.board),
        "model": None if found.model is None else hex(found.model),
        "fields": [{"name": part.name, "board": part.board, "model": part.model} for part in found.fields],
        "why": found.why,
        "before": [
            {
                "access": one.number,
                "op": _what(one.step.write),
                "register": one.name,
                "value": hex(one.step.value),
                "model": None if one.model is None else hex(one.model),
                "times": one.times,
                "cpu": one.step.cpu,
                "task": one.step.task,
                "by": one.step.by,
            }
            for one in found.before
        ],
    }


def _context(before: Sequence[ContextLine]) -> Iterator[str]:
    for one in before:
        step = one.step
        again = f" ×{one.times}" if one.times > 1 else ""
        model = f" (model 0x{one.model:x})" if one.model not in (None, step.value) else ""
        yield (
            f"{one.number:7} {step.time / 1000:10.3f} ms cpu {step.cpu} {_what(step.write):5} {one.name:20} "
            f"0x{step.value:08x}{model}{again}  {step.by}, {step.task}"
        )


def _what(write: bool) -> str:
    return "write" if write else "read"


def _number(value: int) -> str:
    return str(value) if value < 10 else f"{value} (0x{value:x})"
