# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether two sides of a patch are the same to the compiler although their Images differ, e.g. by line numbers.

Every source that was compiled from a changed file, or from one that includes a changed header, is preprocessed as the
build did it. Line markers do not count, and `__LINE__` is a constant: where a line stands is not what a kernel does.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

from panthorlab.kernel.plan import SidePlan, quiet
from panthorlab.kernel.sandbox import Bind, sandbox
from panthorlab.kernel.trees import locked, read_base, set_changes

PREPROCESS_SECONDS = 120.0
_INERT = ("Documentation/", "MAINTAINERS", "CREDITS", ".mailmap")
_SAVED = re.compile(r"^(?:saved)?cmd_\S+ := (.*)$", re.MULTILINE)
_NEUTRAL = ("-E", "-P", "-D__LINE__=0", "-Wno-builtin-macro-redefined", "-w")


def same_tokens(before: SidePlan, after: SidePlan, objects: Path) -> bool:
    """Whether every file that differs between the sides preprocesses to the same. In doubt: False."""
    paths = {*before.changes, *after.changes}
    changed = {path for path in paths if _content(before, path) != _content(after, path)}
    relevant = {path for path in changed if not path.startswith(_INERT)}
    if not all(path.endswith((".c", ".h", ".S")) for path in relevant):
        return False
    with locked(before.base.key, quiet):
        set_changes(before.base, before.changes)
        commands = dict(affected(objects, relevant))
        if not _covers(relevant, commands):
            return False
        first = _digests(before, objects, commands)
        set_changes(after.base, after.changes)
        return None not in first.values() and first == _digests(after, objects, commands)


def _content(side: SidePlan, path: str) -> bytes | None:
    return side.changes[path] if path in side.changes else read_base(side.base, path)


def affected(objects: Path, changed: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Object and compiler command of everything that was compiled from a changed file, as the build recorded them."""
    endings = tuple(f"/{path}" for path in changed)
    for record in objects.rglob(".*.o.cmd"):
        text = record.read_text(errors="replace")
        if not any(path in text for path in changed):
            continue
        sources = {word.rstrip("\\") for word in text.replace("\\\n", " ").split()}
        if any(word.endswith(endings) or word in changed for word in sources) and (match := _SAVED.search(text)):
            yield str(record), shlex.split(match[1].split(" ; ")[0])


def _covers(changed: Collection[str], commands: dict[str, list[str]]) -> bool:
    """Whether every changed source was compiled here; about another one nothing is known."""
    sources = {command[-1] for command in commands.values()}
    return all(path.endswith(".h") or any(source.endswith(path) for source in sources) for path in changed)


def _digests(side: SidePlan, objects: Path, commands: dict[str, list[str]]) -> dict[str, str | None]:
    return {name: _digest(side, objects, command) for name, command in commands.items()}


def _digest(side: SidePlan, objects: Path, command: list[str]) -> str | None:
    """Digest of what the compiler would see, or None if it refuses."""
    argv, skip = [], False
    for word in command:
        if skip or word.startswith(("-Wp,-M", "-D__LINE__")) or word == "-c":
            skip = False
            continue
        if word == "-o":
            skip = True
            continue
        argv.append(word)
    box = sandbox()
    binds = (Bind("src", side.base.path), Bind("obj", objects))
    digest = hashlib.sha256()
    directory = box.where(binds, "obj")
    wrapped = ["env", "-C", directory, *argv[:-1], *_NEUTRAL, argv[-1]]

    def feed(line: str) -> None:
        for word in line.split():
            digest.update(word.encode() + b" ")

    status = box.run(wrapped, binds, on_line=feed, timeout=PREPROCESS_SECONDS)
    return digest.hexdigest() if status == 0 else None
