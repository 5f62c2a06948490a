# SPDX-License-Identifier: GPL-2.0-or-later
"""What the test that runs on a board provokes on purpose, and what it did not expect of what came."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from panthorlab.board.api import BootedBoard
from panthorlab.kmsg.model import Finding
from panthorlab.run.evidence import LogFollower


class Expectations:
    """Of one test after the other: `unexpected_since` ends what one of them expects of the kernel log."""

    def __init__(self, board: BootedBoard, log: LogFollower) -> None:
        self._board, self._log = board, log
        self._provoked: set[str] = set()
        self._allowed: set[str] = set()
        self._known_misuses: list[range] = []

    @property
    def provoked(self) -> frozenset[str]:
        """The kinds of finding that the running test has provoked so far."""
        return frozenset(self._provoked)

    @contextmanager
    def findings_expected(self, kinds: Collection[str]) -> Iterator[Callable[[], list[Finding]]]:
        """Findings of these kinds do not fail the test, and say nothing against the kernel."""
        start = len(self._log.findings())
        self._provoked |= set(kinds)
        yield lambda: self._log.findings()[start:]

    @contextmanager
    def findings_allowed(self, kinds: Collection[str]) -> Iterator[Callable[[], list[Finding]]]:
        """Findings of these kinds do not fail the test, and count."""
        start = len(self._log.findings())
        self._allowed |= set(kinds)
        yield lambda: self._log.findings()[start:]

    @contextmanager
    def misuses_expected(self) -> Iterator[None]:
        """The driver is known to treat the emulated GPU here as no real one may be treated."""
        start = len(self._board.misuses())
        try:
            yield
        finally:
            self._known_misuses.append(range(start, len(self._board.misuses())))

    def unexpected_since(self, start: int) -> list[str]:
        """Findings since the one of number `start` that the running test did not expect; forgets what it expected."""
        expected, self._provoked, self._allowed = self._provoked | self._allowed, set(), set()
        return [finding.text for finding in self._log.findings()[start:] if finding.kind not in expected]

    def misuses_since(self, start: int) -> list[str]:
        """Misuses since the one of number `start` that no test expected, each once."""
        known = {at for known in self._known_misuses for at in known}
        misuses = enumerate(self._board.misuses()[start:], start)
        return list(dict.fromkeys(text for at, text in misuses if at not in known))
