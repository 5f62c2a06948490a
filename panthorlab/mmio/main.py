# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab replay-trace FILE`: a recording of a board against the emulated GPU; no board, no QEMU, no network."""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from panthorlab.errors import UsageError
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.generations.table import DEFAULT_MODEL, GENERATIONS
from panthorlab.mmio.recording import Recording, RecordingError, RecordingHead, parse
from panthorlab.mmio.replay import RegisterDifference, Replay
from panthorlab.mmio.tell import difference, summary, to_json

LARGEST: Final = 1 << 30
"""Characters of a recording that is unpacked."""
DIFFERENT: Final = 3


def main(options: argparse.Namespace) -> int:
    """Exit status 0: no difference in what was compared; 3: a difference, or nothing could be compared; 2: no whole
    recording."""
    recording = read(options.file)
    if options.model and options.model not in GENERATIONS:
        raise UsageError(f"no emulated GPU is called {options.model}", hint=f"there is {', '.join(GENERATIONS)}")
    generation = GENERATIONS[options.model] if options.model else model_of(recording.head)
    replay = Replay(generation)
    found = first_of_each(replay.differences(recording.steps))
    status = DIFFERENT if found or not replay.counts.compared else 0
    if options.json:
        print(
            json.dumps(
                {
                    "exit": status,
                    "model": generation.name,
                    "whole": recording.head.whole,
                    "accesses": replay.counts.accesses,
                    "compared": replay.counts.compared,
                    "registers": dict(sorted(replay.counts.registers.items())),
                    "left_out": replay.counts.left_out,
                    "undecided": replay.counts.undecided,
                    "differences": [to_json(one) for one in found],
                },
                indent=1,
            )
        )
        return status
    lines = [*summary(recording.head, generation.name, replay.counts), ""]
    for number, one in enumerate(found if options.all else found[:1], 1):
        lines += [*difference(one, f"difference {number}" if options.all else "first difference"), ""]
    if len(found) > 1 and not options.all:
        lines.append(f"{len(found) - 1} more registers or reasons: --all shows them; some may follow from the first")
    if not found:
        lines.append("no difference" if replay.counts.compared else "nothing of it could be compared")
    print("\n".join(lines).rstrip())
    return status


def first_of_each(differences: Iterator[RegisterDifference]) -> list[RegisterDifference]:
    """The first one of each register and set of fields: a wrong constant is wrong each time."""
    found: dict[object, RegisterDifference] = {}
    for one in differences:
        found.setdefault((one.name, one.step.write, tuple(part.name for part in one.fields)), one)
    return list(found.values())


def model_of(head: RecordingHead) -> Generation:
    """The emulated GPU that says it is the recorded one; if there is none, the one that is emulated by default."""
    same = (one for one in GENERATIONS.values() if one.constant("GPU_ID") == head.gpu_id)
    return next(same, GENERATIONS[DEFAULT_MODEL])


def read(path: Path) -> Recording:
    """A recording, plain or compressed (gzip, xz). Raises UsageError."""
    try:
        with _text(path) as file:
            return parse(_bounded(file))
    except RecordingError as error:
        raise UsageError(
            f"{path}: {error}", hint="`panthorlab record` writes recordings; docs/lab-operator.md"
        ) from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def write(path: Path, lines: Iterable[str]) -> None:
    """Plain, or compressed as the name says (.gz, .xz). Raises OSError."""
    with _packed(path) as file:
        file.writelines(lines)


def _packed(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "wt", encoding="utf-8")
    if path.suffix == ".xz":
        return lzma.open(path, "wt", encoding="utf-8")
    return path.open("w", encoding="utf-8")


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """Whatever its name: recordings are sent around and renamed."""
    with path.open("rb") as file:
        magic = file.read(6)
    if magic[:2] == b"\x1f\x8b":
        with gzip.open(path, "rt", encoding="utf-8") as unpacked:
            yield unpacked
    elif magic == b"\xfd7zXZ\0":
        with lzma.open(path, "rt", encoding="utf-8") as unpacked:
            yield unpacked
    else:
        with path.open(encoding="utf-8") as plain:
            yield plain


def _bounded(file: TextIO) -> Iterator[str]:
    """Its lines, each and all of them no longer than what anybody would send."""
    total = 0
    while line := file.readline(1 << 17):
        total += len(line)
        if total > LARGEST:
            raise RecordingError("more than 1 GiB")
        yield line
