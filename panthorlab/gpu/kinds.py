# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of event that have a latency in exact time, by name, so that a setting for one that no GPU has is refused
before anything boots."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

from panthorlab.gpu.latency import parse_kinds, parse_overrides
from panthorlab.gpu.targets import parse_targets

KINDS: Final = (
    "irq job",
    "irq mmu",
    "irq gpu",
    "soon Mcu._service",
    "soon Group.service",
    "slice Queue._slice",
    "turn",
)
"""Of the first GPU; those of GPU N end in `@N`. `turn` is of boards with several CPUs."""
_WHOSE = re.compile(r"@[1-9][0-9]{0,3}\Z")


def is_known(kind: str) -> bool:
    """Whether some GPU has events of this kind."""
    return _WHOSE.sub("", kind) in KINDS


def check_overrides(text: str) -> None:
    """Raise ValueError, with a sentence for the user, unless it is a value of `exact.override` for events there are."""
    _check(one.kind for one in parse_overrides(text))


def check_targets(text: str) -> None:
    """The same for `exact.target`."""
    _check(one.kind for one in parse_targets(text))


def check_kinds(text: str) -> None:
    """The same for `exact.kinds`, which has beginnings of names."""
    for word in parse_kinds(text):
        if not any(kind.startswith(_WHOSE.sub("", word)) for kind in KINDS):
            raise ValueError(f"no kind of event begins with {word!r}{_hint(word)}")


def _check(kinds: Iterable[str]) -> None:
    for kind in kinds:
        if not is_known(kind):
            raise ValueError(f"no event is of the kind {kind!r}{_hint(kind)}")


def _hint(word: str) -> str:
    close = difflib.get_close_matches(word, KINDS, n=1)
    mean = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{mean} there are: {', '.join(KINDS)}"
