# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording: one JSON object a line, so that it can be read, cut, compared and compressed with any tool.

    {"format": "panthorlab-mmio", "version": 1, "driver": "panthor", "gpu_id": "0xa8670005", …}      the head
    {"t": 0, "cpu": 3, "task": "bash-812", "read": "0x0", "value": "0xa8670005", "by": "panthor_gpu_init+0x44"}
    {"t": 4102, "cpu": 3, "task": "bash-812", "write": "0x700", "value": "0x2", "by": "panthor_fw_start+0x8c"}
    {"t": 5120, "cpu": 0, "task": "<idle>-0", "event": "irq_handler_entry", "text": "irq=45 name=panthor-job"}
    {"end": 3}                                                                      how many lines are between

`t`: microseconds since the first one. `read`, `write`: offset of the register in the GPU's region. `bits`: width of
the access, if it is not 32. The driver is bound to the GPU when a recording begins: it starts from a GPU that is off.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

FORMAT: Final = "panthorlab-mmio"
VERSION: Final = 1
LONGEST: Final = 1 << 16
"""Characters of a line: none that we write comes near."""


class RecordingError(ValueError):
    """This is no recording, or a damaged one; the message has the line."""


@dataclass(frozen=True)
class RecordingHead:
    """What was recorded. `registers`: physical start and size of the region. `did`: what ran after the driver had
    probed. `whole`: nothing was lost; else the recording ends where the first event was lost, which `did` was not."""

    driver: str
    gpu_id: int
    kernel: str
    build_id: str
    board: str
    machine: str
    registers: tuple[int, int]
    did: tuple[str, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class RegisterAccess:
    """An access to the register at `offset`: `value` was read, or is written; `bits` wide."""

    time: int
    cpu: int
    task: str
    write: bool
    offset: int
    value: int
    by: str
    bits: int = 32


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """Another event of the kernel, for people: interrupts, the scheduler, panthor's own."""

    time: int
    cpu: int
    task: str
    name: str
    text: str


@dataclass(frozen=True)
class Recording:
    """All of it."""

    head: RecordingHead
    lines: Sequence[RegisterAccess | OtherEvent] = field(default=())

    @property
    def steps(self) -> Iterator[RegisterAccess]:
        return (line for line in self.lines if isinstance(line, RegisterAccess))


def render(recording: Recording) -> Iterator[str]:
    """Its lines."""
    head = recording.head
    yield _line({
        "format": FORMAT,
        "version": VERSION,
        "driver": head.driver,
        "gpu_id": hex(head.gpu_id),
        "kernel": head.kernel,
        "build_id": head.build_id,
        "board": head.board,
        "machine": head.machine,
        "registers": {"start": hex(head.registers[0]), "size": head.registers[1]},
        "did": list(head.did),
        "whole": head.whole,
    })  # fmt: skip
    for line in recording.lines:
        common = {"t": line.time, "cpu": line.cpu, "task": line.task}
        if isinstance(line, OtherEvent):
            yield _line({**common, "event": line.name, "text": line.text})
            continue
        what = {"write" if line.write else "read": hex(line.offset), "value": hex(line.value), "by": line.by}
        yield _line({**common, **what, **({"bits": line.bits} if line.bits != 32 else {})})
    yield _line({"end": len(recording.lines)})


def parse(lines: Iterable[str]) -> Recording:
    """Raises RecordingError for whatever is not wholly as `render` makes it; unknown keys are allowed."""
    head: RecordingHead | None = None
    found: list[RegisterAccess | OtherEvent] = []
    end: int | None = None
    for number, line in enumerate(lines, 1):
        try:
            if end is not None:
                raise RecordingError("there is more after the end")
            item = _object(line)
            if head is None:
                head = _head(item)
            elif "end" in item:
                end = _number(item, "end")
            else:
                found.append(_entry(item))
        except RecordingError as error:
            raise RecordingError(f"line {number}: {error}") from None
    if head is None:
        raise RecordingError("it is empty")
    if end != len(found):
        what = "its last line is missing: it was cut off" if end is None else f"{end} lines were written"
        raise RecordingError(f"it has {len(found)} lines between head and end, and {what}")
    return Recording(head, tuple(found))


def _line(item: Mapping[str, Any]) -> str:
    return json.dumps(item) + "\n"


def _object(line: str) -> Mapping[str, Any]:
    if len(line) > LONGEST:
        raise RecordingError("far too long")
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        raise RecordingError(f"no JSON: {line.strip()[:60]!r}") from None
    if not isinstance(item, dict):
        raise RecordingError(f"no JSON object: {line.strip()[:60]!r}")
    return item


def _head(item: Mapping[str, Any]) -> RecordingHead:
    if item.get("format") != FORMAT:
        raise RecordingError(f'not a recording: it has no "format": "{FORMAT}"')
    if (version := _number(item, "version")) != VERSION:
        raise RecordingError(f"version {version} of the format, and only {VERSION} is known here: update panthorlab")
    registers, did = item.get("registers"), item.get("did")
    if not isinstance(registers, dict) or not isinstance(did, list) or not isinstance(item.get("whole"), bool):
        raise RecordingError("registers, did or whole is missing or of a wrong type")
    return RecordingHead(
        _text(item, "driver"),
        _hex(item, "gpu_id", 32),
        _text(item, "kernel"),
        _text(item, "build_id"),
        _text(item, "board"),
        _text(item, "machine"),
        (_hex(registers, "start", 64), _number(registers, "size")),
        tuple(map(str, did)),
        item["whole"],
    )


def _entry(item: Mapping[str, Any]) -> RegisterAccess | OtherEvent:
    time, cpu, task = _number(item, "t"), _number(item, "cpu"), _text(item, "task")
    if "event" in item:
        return OtherEvent(time, cpu, task, _text(item, "event"), _text(item, "text"))
    if ("read" in item) is ("write" in item):
        raise RecordingError("neither a read nor a write nor another event")
    bits = _number(item, "bits") if "bits" in item else 32
    if bits not in (8, 16, 32, 64):
        raise RecordingError(f"an access of {bits} bits")
    key = "write" if "write" in item else "read"
    return RegisterAccess(
        time, cpu, task, key == "write", _hex(item, key, 64), _hex(item, "value", bits), _text(item, "by"), bits
    )


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise RecordingError(f"{key} is no text: {value!r:.60}")
    return value


def _number(item: Mapping[str, Any], key: str) -> int:
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise RecordingError(f"{key} is no number: {value!r:.60}")
    return value


def _hex(item: Mapping[str, Any], key: str, bits: int) -> int:
    text = _text(item, key)
    try:
        value = int(text, 16)
    except ValueError:
        value = -1
    if not text.startswith("0x") or not 0 <= value < 1 << bits:
        raise RecordingError(f"{key} is no hexadecimal number of {bits} bits: {text[:60]!r}")
    return value
