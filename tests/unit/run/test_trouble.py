# SPDX-License-Identifier: GPL-2.0-or-later
"""A GPU that does wrong: what a known bug of the driver excuses, and what nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from panthorlab.kmsg import Kind
from panthorlab.run.session import Session
from panthorlab.run.trouble import LOCKED_REGION, Trouble, provoke

LOST = Trouble(("flush-lost",), frozenset({"power-error"}))
BORNE = Trouble(("flush-late,ms=5",))


class Fake:
    """A session on a kernel that reports the trouble, and whose jobs fail after it, with findings of kind `later`."""

    def __init__(self, later: str, image: bytes) -> None:
        self._later, self._image = later, image
        self._kinds: list[str] = []
        self._wrong = self._recovered = False
        self._struck = 0

    def findings(self) -> list[Any]:
        return [SimpleNamespace(kind=Kind(kind), text=kind) for kind in self._kinds]

    def finding_count(self) -> int:
        return len(self._kinds)

    @contextmanager
    def findings_expected(self, _kinds: set[str]) -> Iterator[Callable[[], list[Any]]]:
        yield self.findings

    @contextmanager
    def misbehaving(self, *_rules: str) -> Iterator[None]:
        self._wrong = True
        yield
        self._wrong = False

    def struck(self, _name: str) -> int:
        return self._struck

    def job(self, mode: str, *_arguments: str, **_options: object) -> None:
        if self._wrong:
            self._struck += 1
            self._kinds.append("power-error")
        elif mode == "suspend-loop" and not self._recovered:
            self._kinds.append(self._later)
            raise AssertionError("suspend-loop: not ok")

    def program(self, *_argv: str, **_options: object) -> Any:
        self._recovered = True
        return SimpleNamespace(report=SimpleNamespace(ok=True, why="", lines=()), info={"bind": "0"})

    def driver_contains(self, text: bytes) -> bool:
        return text in self._image


def test_a_lock_that_outlives_the_reset_is_known() -> None:
    fake = Fake("job-timeout", LOCKED_REGION)
    with pytest.raises(pytest.xfail.Exception, match="0036"):
        provoke(cast(Session, fake), LOST)
    assert fake._recovered, "the next test would find the GPU as it is"


@pytest.mark.parametrize(
    ("later", "image", "trouble"),
    [
        ("job-timeout", b"of 6.12", LOST),  # a driver that locks nothing
        ("power-error", LOCKED_REGION, LOST),  # something else
        ("job-timeout", LOCKED_REGION, BORNE),  # no reset was due
    ],
)
def test_nothing_else_is_excused(later: str, image: bytes, trouble: Trouble) -> None:
    with pytest.raises(AssertionError, match="not ok"):
        provoke(cast(Session, Fake(later, image)), trouble)
