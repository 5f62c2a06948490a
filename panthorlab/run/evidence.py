# SPDX-License-Identifier: GPL-2.0-or-later
"""Follow a booted board's kernel log: every record from the first one, cut into iterations, with proof of wholeness."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from panthorlab.board.api import BootedBoard
from panthorlab.errors import EvidenceError, LabError
from panthorlab.kmsg.markers import EndMarker, Window, WindowTracker
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.records import RecordReader
from panthorlab.kmsg.scan import scan_bytes

BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
JOIN: Final = 10.0
# Seconds to wait for an iteration's log, as long as that of the one before did not come at all.
MUTE_PATIENCE: Final = 0.5


@dataclass(frozen=True)
class Stray:
    """A finding outside all iterations, and the end marker that came last before it, if any did."""

    finding: Finding
    since: EndMarker | None

    @property
    def delay(self) -> float | None:
        """Seconds from that marker to the finding."""
        if self.since is None or self.since.timestamp is None or self.finding.timestamp is None:
            return None
        return max(0.0, round(self.finding.timestamp - self.since.timestamp, 6))


class LogFollower:
    """Runs `kmsg-follow` on the board for as long as it is open, from `board.log_start` on. Thread-safe.

    `path`: where the raw records are kept on the host. A second thread does the parsing, so that the shell's reader
    is never held up.
    """

    def __init__(self, board: BootedBoard, path: Path) -> None:
        self._board, self._path = board, path
        self._chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._heard = self._understood = 0
        self._parsed = False
        board.time.before_looking(self._settle)
        self._changed = threading.Condition()
        self._windows: dict[str, Window] = {}
        self._findings: list[Finding] = []
        self._open: tuple[Finding, ...] = ()
        self._strays: list[Stray] = []
        self._error: BaseException | None = None
        self._mute = False
        self._holes = 0
        self._gaps: list[EndMarker | None] = []
        self._closed = False
        self._thread = threading.Thread(target=self._parse, name="kernel-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        start = self._board.log_start
        self._process = self._board.shell.start(
            [f"{self._board.work_dir}/kmsg-follow", *(["--from", str(start)] if start else [])],
            on_stdout=self._hear,
            on_stderr=self._hear,
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """The end of the log: what is open ends without its marker. A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self._process.kill()
        self._chunks.put(None)
        self._thread.join(JOIN)

    def wait_window(self, identity: str, timeout: float) -> Window | None:
        """The log of iteration `identity` once it has ended; None if that does not happen in `timeout` seconds. A log
        of which nothing was heard the last time gets no more than `MUTE_PATIENCE`."""
        patience = MUTE_PATIENCE * self._board.slowness if self._mute else timeout
        self._board.time.wait(
            self._changed, lambda: identity in self._windows or self._error is not None, min(timeout, patience)
        )
        with self._changed:
            if identity not in self._windows and self._error is not None:
                raise LabError(f"the kernel log can no longer be followed: {self._error}") from self._error
            self._mute = identity not in self._windows
            return self._windows.get(identity)

    def window(self, identity: str) -> Window | None:
        """The log of iteration `identity` if it has ended by now."""
        with self._changed:
            return self._windows.get(identity)

    def check(self) -> None:
        """Raise EvidenceError if the board has been rebooted since it was booted for us, LabError if it no longer
        tells its log."""
        if self._process.ended:
            raise LabError(f"kmsg-follow on the board ended with status {self._process.wait(JOIN)}")
        now = self._board.shell.get(BOOT_ID).decode("ascii", "replace").strip()
        if now != self._board.boot_id:
            raise EvidenceError(f"the board has rebooted: boot-id {now}, was {self._board.boot_id}")

    def findings(self) -> list[Finding]:
        """All findings of windows and between them that have ended, in order."""
        with self._changed:
            return list(self._findings)

    def findings_so_far(self) -> list[Finding]:
        """As `findings`, and what was heard since."""
        with self._changed:
            return [*self._findings, *self._open]

    def strays(self) -> list[Stray]:
        """Findings outside all iterations."""
        with self._changed:
            return list(self._strays)

    @property
    def lost_records(self) -> bool:
        """Whether the log has a gap anywhere, so that it may have had findings that nobody saw."""
        return self.holes > 0

    @property
    def holes(self) -> int:
        """In how many parts of the log, iterations and times between them that have ended, records were lost."""
        with self._changed:
            return self._holes

    def gaps(self) -> list[EndMarker | None]:
        """Where records were lost outside all iterations: the end marker before each gap, if there was one."""
        with self._changed:
            return list(self._gaps)

    def last_words(self) -> list[Finding]:
        """Findings of a board that died in what it said last, where alone its end was told."""
        return scan_bytes(self._board.last_words())

    def text(self) -> str:
        """The raw records so far."""
        return self._path.read_text("utf-8", "replace")

    def _hear(self, chunk: bytes) -> None:
        self._heard += 1
        self._chunks.put(chunk)

    def _settle(self) -> None:
        """Until all that was heard is understood."""
        with self._changed:
            self._changed.wait_for(lambda: self._understood == self._heard or self._parsed)

    def _parse(self) -> None:
        reader, tracker = RecordReader(), WindowTracker()
        try:
            with self._path.open("ab") as file:
                while (chunk := self._chunks.get()) is not None:
                    file.write(chunk)
                    file.flush()
                    for record in reader.feed(chunk):
                        for window in tracker.feed(record):
                            self._add(window)
                    with self._changed:
                        self._open = tracker.open_findings
                        self._understood += 1
                        self._changed.notify_all()
                for window in tracker.close():
                    self._add(window)
        except BaseException as error:
            self._error = error
            raise
        finally:
            with self._changed:
                self._parsed = True
                self._changed.notify_all()

    def _add(self, window: Window) -> None:
        with self._changed:
            self._findings += window.findings
            self._open = ()
            self._holes += window.gap
            if window.id is None:
                self._gaps += [window.since] if window.gap else []
                self._strays += [Stray(finding, window.since) for finding in window.findings]
            elif window.complete or window.id not in self._windows:
                self._windows[window.id] = window
            self._changed.notify_all()
