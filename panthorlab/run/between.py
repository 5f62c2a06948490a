# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel log of a boot has outside iterations, sent out as events: findings, and gaps."""

from __future__ import annotations

from collections.abc import Callable

from panthorlab.kmsg.markers import Window
from panthorlab.run.evidence import LogFollower
from panthorlab.run.judge import as_json
from panthorlab.run.record import LogGap, Marker, OfBoot, StrayEvent


class Between:
    """Sends each once. `emit`: where events go."""

    def __init__(self, log: LogFollower, emit: Callable[[OfBoot], None]) -> None:
        self._log, self._emit = log, emit
        self._provoked: dict[str, frozenset[str]] = {}
        self._strays_sent = self._gaps_sent = 0

    def provoked(self, prefix: str, kinds: frozenset[str]) -> None:
        """The programs whose ids begin so provoke findings of these kinds on purpose."""
        self._provoked[prefix] = kinds

    def send(self) -> None:
        """Findings outside all windows belong to the boot. Each is told with the end marker before it, and whether a
        test provoked it with the program that ended there."""
        strays = self._log.strays()
        for stray in strays[self._strays_sent :]:
            marker, provoked = None, frozenset[str]()
            if stray.since is not None:
                marker = Marker(stray.since.id, stray.since.workload, stray.delay)
                provoked = self._provoked.get(stray.since.id.rpartition("-")[0], provoked)
            expected = stray.finding.kind in provoked
            self._emit(StrayEvent(finding=as_json(stray.finding), marker=marker, expected=expected))
        self._strays_sent = len(strays)
        gaps = self._log.gaps()
        for since in gaps[self._gaps_sent :]:
            self._emit(LogGap(after=since.id if since else ""))
        self._gaps_sent = len(gaps)

    def send_unexpected(self, window: Window, expected: frozenset[str]) -> bool:
        """What a program outside iterations left in the log, but for what it was to provoke. Whether there was any."""
        unexpected = [finding for finding in window.findings if finding.kind not in expected]
        for finding in unexpected:
            self._emit(StrayEvent(finding=as_json(finding), marker=Marker(window.id, window.workload)))
        return bool(unexpected)
