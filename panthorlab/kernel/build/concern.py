# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a patch can be the cause of a failed build: by the failing file, by the files it includes, by the build's own
rules, or by a missing symbol. If it cannot, a clean build is tried first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from panthorlab.kernel.build import output
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.source.trees import read_base

_RULES = re.compile(r"^(?:Makefile|Kbuild|Kconfig)|\.(?:mk|lds|lds\.S|include|sh|awk|pl|py)$")
_BUILD_DIRECTORIES = ("scripts/", "tools/", "usr/")


def differences(plan: SidePlan, other: SidePlan | None) -> dict[str, bytes]:
    """Content in `plan` (empty if deleted) of every file that is not the same in `other`; None: in the base."""
    base = other.changes if other is not None else {}
    found = {}
    for path in {*plan.changes, *base}:
        ours, theirs = (
            changes[path] if path in changes else read_base(plan.base, path) for changes in (plan.changes, base)
        )
        if ours != theirs:
            found[path] = ours or b""
    return found


def can_be_due_to(changed: Mapping[str, bytes], tail: Sequence[str], roots: Sequence[str], objects: Path) -> bool:
    """`changed`: files by path relative to the tree. `tail`: the build's last lines. `objects`: O=."""
    if not changed:
        return False
    if any(_RULES.search(PurePosixPath(path).name) or path.startswith(_BUILD_DIRECTORIES) for path in changed):
        return True
    named = {problem.file for problem in output.find_problems(tail, roots)} | output.included_from(tail, roots)
    if named & set(changed):
        return True
    if any(_was_made_from(target, changed, objects) for target in output.failed_targets(tail)):
        return True
    symbols = output.missing_symbols(tail)
    words = {word for text in changed.values() for word in re.findall(rb"\w+", text)}
    return any(symbol.encode() in words for symbol in symbols)


def _was_made_from(target: str, changed: Collection[str], objects: Path) -> bool:
    """By its name, or by what the last compilation of `target` that succeeded has read, as kbuild keeps it."""
    stem = target.removesuffix(".o")
    if any(f"/{stem}".endswith(f"/{PurePosixPath(name).with_suffix('')}") for name in changed):
        return True
    path = objects / target
    record = path.with_name(f".{path.name}.cmd")
    if not record.is_relative_to(objects) or not record.is_file():
        return False
    words = {word.rstrip("\\") for word in record.read_text(errors="replace").split()}
    return any(name in words or any(word.endswith(f"/{name}") for word in words) for name in changed)
