# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's time passes only while somebody waits for it; when he looks is a count of instructions.

The model holds the guest at each beat, a millisecond of its time apart, and asks here whether it may go on. So whatever
is done to the guest is done at a beat, and what the guest has said is looked at when it has said all up to a beat: what
the host does, and how long that takes, cannot be told from inside the guest.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from panthorlab.board.boardtime import Taken
from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS
from panthorlab.gpu.exact.wire import HELD, decode_held

STALL_SECONDS: Final = 60.0
"""Of the host's: a guest that has not got a millisecond further by then executes nothing any more."""
_CHUNK: Final = 1 << 18


class ExactTime:
    """See `BoardTime`. Not for several threads: one waits, and meanwhile it does what a reader's thread would do.

    `host`: the model's beats. `agent`: what the guest says comes here; `deliver` gets it, up to a beat; b"" at its end.
    """

    def __init__(self, host: socket.socket, agent: socket.socket) -> None:
        self._host, self._agent = host, agent
        agent.setblocking(False)
        self.deliver: Callable[[bytes], None] = lambda _data: None
        self._settles: list[Callable[[], None]] = []
        self._count = 0
        self._still = 0.0  # seconds that went by though the guest stood still or was gone
        self._running = True  # until the first beat
        self._gone = False
        self._said = hashlib.sha256()

    @property
    def held(self) -> bool:
        """Whether the guest stands still, so that what is done to it now is done at a count."""
        return not self._running

    @property
    def count(self) -> int:
        """Instructions up to the last beat."""
        return self._count

    def now(self) -> float:
        """Seconds of the guest's time, and those of ours in which it did not go on."""
        return self._count * INSTRUCTION_SECONDS + self._still

    def sleep(self, seconds: float) -> None:
        end = self.now() + seconds
        while self.now() < end:
            self._beat()

    def wait(self, changed: threading.Condition, done: Callable[[], bool], timeout: float) -> bool:
        end = self.now() + timeout
        while True:
            with changed:
                if done():
                    return True
            if self.now() >= end:
                return False
            self._beat()

    def take(self, items: queue.SimpleQueue[Taken], timeout: float) -> Taken | None:
        end = self.now() + timeout
        while items.empty():
            if self.now() >= end:
                return None
            self._beat()
        return items.get()

    def before_looking(self, settle: Callable[[], None]) -> None:
        self._settles.append(settle)

    def heard_and_told(self, told: bytes) -> None:
        """The guest is told this now: part of the run's digest."""
        self._said.update(b">%d %d " % (self._count, len(told)) + told)

    def hexdigest(self) -> str:
        """SHA-256 of all that the guest was told and has said, with the beats at which."""
        return self._said.hexdigest()

    # -- one beat -----------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Let the guest go on to the next beat, and hear what it says until then."""
        if self._gone:
            self._still += 1.0
            time.sleep(0.01)  # whoever ends the board needs a moment
            return
        said = bytearray()
        try:
            if not self._running:
                self._host.send(b"g")
                self._running = True
            self._running = not self._await_beat(said)
        except OSError:
            self._gone = True
        with contextlib.suppress(BlockingIOError):
            while not self._gone and self._hear(said):
                pass
        if said:
            self._said.update(b"<%d %d " % (self._count, len(said)) + said)
            self.deliver(bytes(said))
        if self._gone:
            self.deliver(b"")
        for settle in self._settles:
            settle()

    def _await_beat(self, said: bytearray) -> bool:
        """Whether it came."""
        end = time.monotonic() + STALL_SECONDS
        while (left := end - time.monotonic()) > 0:
            ready = select.select([self._host, self._agent], (), (), left)[0]
            if self._agent in ready and not self._hear(said):
                self._gone = True
                return False
            if self._host in ready:
                data = self._host.recv(HELD.size)
                if not data:
                    self._gone = True
                    return False
                self._count = decode_held(data)
                return True
        self._still += STALL_SECONDS
        return False

    def _hear(self, said: bytearray) -> bool:
        """What there is; False at the end."""
        data = self._agent.recv(_CHUNK)
        said += data
        return bool(data)
