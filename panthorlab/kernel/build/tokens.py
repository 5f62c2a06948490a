# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether two sides of a patch are the same to the compiler although their Images differ, e.g. by line numbers.

Every source that was compiled from a changed file, or from one that includes a changed header, is preprocessed as in
the build. Line markers are ignored, and `__LINE__` is a constant: line numbers do not change a kernel's behaviour.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.jail import inside
from panthorlab.kernel.jail.sandbox import Bind, sandbox, tools
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source.trees import locked, read_base, set_changes

PREPROCESS_SECONDS = 120.0
INERT = ("Documentation/", "MAINTAINERS", "CREDITS", ".mailmap")
_SAVED = re.compile(r"^(?:saved)?cmd_\S+ := (.*)$", re.MULTILINE)
_NEUTRAL = ("-E", "-P", "-D__LINE__=0", "-Wno-builtin-macro-redefined", "-w")


def same_tokens(before: SidePlan, after: SidePlan, objects: Path) -> bool:
    """Whether every file that differs between the sides preprocesses to the same. In doubt: False."""
    paths = {*before.changes, *after.changes}
    changed = {path for path in paths if _content(before, path) != _content(after, path)}
    relevant = {path for path in changed if not path.startswith(INERT)}
    if not all(path.endswith((".c", ".h", ".S")) for path in relevant):
        return False
    direct = [path for path in relevant if not path.endswith(".h")]
    if before.toolchain.rust and len(direct) < len(relevant):
        return False  # what of a header gets into Rust, bindgen decides
    records = [str(Path(path).parent / f".{Path(path).stem}.o.cmd") for path in direct]
    saved = [commands_of(inside.read(objects, record)) for record in records]
    if not all(saved):
        return False  # not compiled here: nothing is known about it
    with locked(before.base.key, quiet):
        # What changed itself tells most differences; looking for all that include a header takes seconds.
        if not _same(before, after, objects, [command for commands in saved for command in commands]):
            return False
        headers = relevant - set(direct)
        return not headers or _same(before, after, objects, affected(objects, headers))


def _content(side: SidePlan, path: str) -> bytes | None:
    return side.changes[path] if path in side.changes else read_base(side.base, path)


def affected(objects: Path, changed: Collection[str]) -> list[list[str]]:
    """Compiler commands of everything that was compiled from a changed file, as the build recorded them."""
    found = []
    for record in objects.rglob(".*.o.cmd"):
        data = inside.read(objects, str(record.relative_to(objects))) or b""
        text = data.decode(errors="replace")
        if any(path in text for path in changed):
            words = {word.rstrip("\\") for word in text.split()}
            if any(path in words or any(word.endswith(f"/{path}") for word in words) for path in changed):
                found += commands_of(data)
    return found


def commands_of(record: bytes | None) -> list[list[str]]:
    """The compiler command in a `.NAME.o.cmd` file; none if it holds something else, or is not there."""
    match = _SAVED.search((record or b"").decode(errors="replace"))
    return [shlex.split(match[1].split(" ; ")[0])] if match else []


def _same(before: SidePlan, after: SidePlan, objects: Path, commands: Sequence[list[str]]) -> bool:
    """Whether all commands see the same on both sides; stops at the first that does not."""
    set_changes(after.base, after.changes, after.executable)
    wanted = [_digest(after, objects, command) for command in commands]
    set_changes(before.base, before.changes, before.executable)
    return all(
        digest is not None and digest == _digest(before, objects, command)
        for command, digest in zip(commands, wanted, strict=True)
    )


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
    binds = (Bind("src", side.base.path), Bind("obj", objects), *tools(side.toolchain.programs))
    digest = hashlib.sha256()
    directory = box.where(binds, "obj")
    wrapped = ["env", "-C", directory, *argv[:-1], *_NEUTRAL, argv[-1]]

    def feed(line: str) -> None:
        for word in line.split():
            digest.update(word.encode() + b" ")

    status = box.run(wrapped, binds, on_line=feed, timeout=PREPROCESS_SECONDS)
    return digest.hexdigest() if status == 0 else None
