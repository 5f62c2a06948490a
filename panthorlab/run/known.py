# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of known findings (`--known FILE`), in the format of the kernel's drm-ci: `*-fails.txt`, `*-flakes.txt`.

One entry a line: `WORKLOAD@FINDING`, a regular expression that must match the whole of a workload's name, `@`, and a
finding's kind or its signature; `boot@FINDING` is for findings outside iterations. A result in CI's words may follow a
comma (`,Fail`), as in `*-fails.txt`, and is not looked at. Comments begin with `#`; those right above an entry, such as
`# Bug Report: …`, `# Board Name: …`, `# Failure Rate: …` and `# Linux Version: …`, are told with it.
Source: Documentation/gpu/automated_testing.rst of the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.run.record import Iteration, KnownEntry, Settings
from panthorlab.verdict import KnownFinding
from panthorlab.verdict.sightings import without_known

RESULTS: Final = frozenset({"fail", "crash", "timeout", "warn", "flake", "missing", "unexpectedimprovement(pass)"})
MAX_BYTES: Final = 1 << 20
MAX_LINE: Final = 1000
HINT: Final = "one entry a line: WORKLOAD@KIND or WORKLOAD@SIGNATURE, e.g. heap-exit/.*@warning:panthor:.*"


def read_known(files: Sequence[Path]) -> list[KnownEntry]:
    """The entries of `files` as they are kept in a run's log. Raises UsageError."""
    entries: list[KnownEntry] = []
    for file in files:
        if file.name.endswith("skips.txt"):
            raise UsageError(
                f"--known {file}: a list of tests to skip says nothing about findings",
                hint="choose what runs with --suite, and give the fails and flakes here",
            )
        try:
            with file.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
            text = data.decode("utf-8-sig")
        except OSError as error:
            raise UsageError(f"--known {file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise UsageError(f"{file}:{line}: not UTF-8 text", hint=HINT) from error
        if len(data) > MAX_BYTES:
            raise UsageError(f"--known {file}: more than {MAX_BYTES >> 20} MiB, no list of findings", hint=HINT)
        entries += parse_known(text.splitlines(), str(file))
    return entries


def known_of(settings: Settings) -> list[KnownFinding]:
    """The lists that a run was started with."""
    return [KnownFinding(re.compile(entry.pattern), entry.source, entry.about) for entry in settings.known]


def only_known(iteration: Iteration, known: Sequence[KnownFinding]) -> bool:
    """Whether nothing but known findings made an iteration fail."""
    if not known or not iteration.kinds or iteration.program_failed:
        return False
    left, _ = without_known(
        (iteration.workload,),
        frozenset(iteration.kinds),
        frozenset(iteration.signatures),
        known,
        frozenset(iteration.declared),
    )
    return not left


def parse_known(lines: Iterable[str], name: str) -> Iterable[KnownEntry]:
    """The entries of one list. Raises UsageError with the place of what is none."""
    for number, text, about in list_entries(lines):
        yield KnownEntry(_entry(text, f"{name}:{number}"), f"{name}:{number}", about)


def list_entries(lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """(line number, entry, the comments right above it) of any of drm-ci's lists."""
    about: list[str] = []
    fresh = True
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("#"):
            about = [*([] if fresh else about), text.lstrip("# ")]
            fresh = False
            continue
        fresh = True
        if not text:
            about = []
            continue
        yield number, text, "; ".join(filter(None, about))


def _entry(text: str, where: str) -> str:
    pattern, comma, result = text.rpartition(",")
    if not comma or result.strip().lower() not in RESULTS:
        pattern = text
    if len(pattern) > MAX_LINE:
        raise UsageError(f"{where}: longer than {MAX_LINE} characters", hint=HINT)
    workload, at, finding = pattern.partition("@")
    if not (workload and at and finding):
        raise UsageError(f"{where}: {pattern!r} names no finding", hint=HINT)
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{where}: {pattern!r} is no regular expression: {error}", hint=HINT) from error
    return pattern
