# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's time as the host sees it: it passes only while somebody waits, and who looks looks at a beat."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.emulated.exact import time as exact
from panthorlab.board.emulated.exact.time import ExactTime
from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS
from panthorlab.gpu.exact.wire import HELD, STOP, decode_next_beat

BEAT = 125_000  # instructions: a millisecond


class Guest:
    """Says at each beat what it has to, in pieces; then goes on saying nothing, or ends."""

    def __init__(
        self,
        says: Sequence[Sequence[bytes]],
        *,
        ends: bool = False,
        stops: bool = False,
        stop_at: int = 0,
        pauses: float = 0.0,
        last: bytes = b"",
    ) -> None:
        """`stop_at`: the number of the beat before which it wants to be stopped."""
        self._model, self.host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._port, self.agent = socket.socketpair()
        self._says, self._ends, self._stops, self._stop_at = says, ends, stops, stop_at
        self._pauses, self._last = pauses, last
        self.beats = self.clock = 0  # beats, and the milliseconds that they have lasted
        self.time = ExactTime(self.host, self.agent)
        self.heard: list[bytes] = []
        self.time.deliver = self.heard.append
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        length = 1
        with self._model, self._port:
            while True:
                if self.beats < len(self._says):
                    for piece in self._says[self.beats]:
                        self._port.sendall(piece)
                    time.sleep(self._pauses)
                elif self._ends:
                    self._port.sendall(self._last)
                    self._model.close()
                    return
                elif self._stops:
                    self._model.recv(1)  # never asked again: the host has gone
                    return
                self.beats += 1
                self.clock += length
                if self.beats == self._stop_at:
                    self._model.send(HELD.pack(self.clock * BEAT - 7 | STOP))
                    self._model.recv(1)
                self._model.send(HELD.pack(self.clock * BEAT))
                if not (answer := self._model.recv(1)):
                    return
                length = decode_next_beat(answer)

    def close(self) -> None:
        self.host.close()
        self.agent.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def guests() -> Iterator[list[Guest]]:
    made: list[Guest] = []
    yield made
    for guest in made:
        guest.close()


def wait(guest: Guest, what: bytes, timeout: float) -> bool:
    return guest.time.wait(threading.Condition(), lambda: what in b"".join(guest.heard), timeout)


def test_it_stands_still_while_nobody_waits(guests: list[Guest]) -> None:
    guest = Guest([[b"a"], [b"b"], [b"c"]])
    guests.append(guest)
    assert wait(guest, b"a", 1.0)
    assert (guest.time.held, guest.beats, guest.heard) == (True, 1, [b"a"])
    assert guest.time.now() == guest.time.count * INSTRUCTION_SECONDS == BEAT * INSTRUCTION_SECONDS
    assert wait(guest, b"c", 1.0)
    assert guest.heard == [b"a", b"b", b"c"]


def test_a_deadline_is_one_of_the_guest(guests: list[Guest]) -> None:
    guest = Guest([])
    guests.append(guest)
    assert not wait(guest, b"x", 0.1)
    assert guest.clock == pytest.approx(100, abs=1)
    guest.time.sleep(0.05)
    assert guest.clock == pytest.approx(150, abs=1)


def test_beats_are_longer_the_longer_nothing_is_said(guests: list[Guest]) -> None:
    guest = Guest([*[[]] * 20, [b"a"]])
    guests.append(guest)
    assert wait(guest, b"a", 10.0)
    assert guest.beats == 21
    heard, clock = guest.beats, guest.clock
    assert 50 < clock < 1000
    guest.time.sleep(0.004)
    assert (guest.beats, guest.clock) == (heard + 4, clock + 4), "what follows may follow soon"
    guest.time.sleep(5.0)
    assert guest.clock == clock + 5004
    assert guest.beats < heard + 60


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_nothing_is_heard_much_later_than_it_was_said(silences: list[int]) -> None:
    (host, model), (agent, port) = socket.socketpair(), socket.socketpair()
    talk = ExactTime(host, agent)
    for silence in silences:
        ended = talk._talked
        while talk._count < ended + silence * BEAT:
            talk._count += talk._next_beat(1e9) * BEAT
        assert talk._count <= ended + (silence * 1.25 + 1) * BEAT
        talk._talked = talk._count
    for end in (host, model, agent, port):
        end.close()


def test_items_are_taken_when_they_come(guests: list[Guest]) -> None:
    guest, items = Guest([[], [], [b"late"]]), queue.SimpleQueue[bytes]()
    guests.append(guest)
    guest.time.deliver = items.put
    assert guest.time.take(items, 0.0015) is None
    assert guest.time.take(items, 1.0) == b"late"
    assert guest.beats == 3


def test_what_came_is_understood_before_anybody_looks(guests: list[Guest]) -> None:
    guest, understood = Guest([[b"a"]]), list[bytes]()
    guests.append(guest)
    guest.time.before_looking(lambda: understood.extend(guest.heard))
    assert guest.time.wait(threading.Condition(), lambda: b"a" in understood, 1.0)


def test_a_guest_that_is_gone_is_told_once_and_no_wait_lasts(guests: list[Guest]) -> None:
    guest = Guest([[b"last"]], ends=True)
    guests.append(guest)
    assert not wait(guest, b"x", 3.0)
    assert guest.heard == [b"last", b""]
    assert not wait(guest, b"x", 3.0)
    assert guest.heard == [b"last", b""]


def test_a_guest_that_executes_nothing_does_not_hold_us_for_ever(
    guests: list[Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "STALL_SECONDS", 0.1)
    guest = Guest([[]], stops=True)
    guests.append(guest)
    assert not wait(guest, b"x", 0.25)
    assert not guest.time.held


def test_what_a_guest_said_before_it_went_is_heard_to_its_end(
    guests: list[Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model of a guest that has reset is gone at once, when much of that is still to be read."""
    monkeypatch.setattr(exact, "_CHUNK", 1)
    guest = Guest([[]], ends=True, last=b"Kernel panic")
    guests.append(guest)
    assert not wait(guest, b"x", 3.0)
    assert guest.heard == [b"Kernel panic", b""]


def test_a_host_that_stood_still_takes_nothing_of_a_deadline(
    guests: list[Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "STALL_SECONDS", 0.05)
    guest = Guest([[]], pauses=0.12)
    guests.append(guest)
    guest.time.sleep(0.2)
    assert guest.clock == pytest.approx(200, abs=1)


def test_a_guest_that_gets_on_shows_it_however_slow_its_host_is(
    guests: list[Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "SIGN_SECONDS", 0.1)
    monkeypatch.setattr(exact, "STALL_SECONDS", 0.1)
    guest, signs = Guest([[]] * 4, stops=True, pauses=0.12), list[float]()
    guests.append(guest)
    guest.time.alive = lambda: signs.append(guest.time.now())
    assert not wait(guest, b"x", 0.5)
    assert len(signs) == 4, "at each of its beats, and never again once it executes nothing"


def test_a_stop_is_no_beat(guests: list[Guest]) -> None:
    digests = []
    for stop_at in (0, 2):
        guest, stops = Guest([[b"a"], [b"b"], [b"c"]], stop_at=stop_at), list[int]()

        def stop(go_on: Callable[[], None], guest: Guest = guest, stops: list[int] = stops) -> None:
            stops.append(guest.time.count)
            go_on()

        guest.time.on_stop = stop
        guests.append(guest)
        assert wait(guest, b"c", 1.0)
        assert stops == ([BEAT] if stop_at else [])
        assert guest.time.now() == 3 * BEAT * INSTRUCTION_SECONDS
        digests.append(guest.time.hexdigest())
    assert digests[0] == digests[1]


def test_a_guest_that_a_debugger_has_may_stand_still(guests: list[Guest], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "STALL_SECONDS", 0.05)
    guest, asked = Guest([[]], stops=True), list[int]()
    guests.append(guest)

    def patient() -> bool:
        asked.append(1)
        return len(asked) < 4

    guest.time.patient = patient
    assert not wait(guest, b"x", 0.02)
    assert len(asked) == 4


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6), st.lists(st.integers(1, 20), max_size=6))
def test_the_digest_does_not_depend_on_the_pieces_in_which_it_came(says: list[bytes], cuts: list[int]) -> None:
    def digest(pieces: Sequence[Sequence[bytes]]) -> str:
        guest = Guest(pieces)
        try:
            assert wait(guest, b"".join(says), 1.0)
            guest.time.heard_and_told(b"thanks")
            return guest.time.hexdigest()
        finally:
            guest.close()

    def cut(data: bytes) -> list[bytes]:
        ends = [0, *sorted({at for at in cuts if at < len(data)}), len(data)]
        return [data[start:end] for start, end in pairwise(ends)]

    assert digest([[data] for data in says]) == digest([cut(data) for data in says])


def test_another_beat_is_another_digest(guests: list[Guest]) -> None:
    digests = set()
    for says in ([[b"a"], []], [[], [b"a"]]):
        guest = Guest(says)
        guests.append(guest)
        guest.time.sleep(0.0035)
        digests.add(guest.time.hexdigest())
    assert len(digests) == 2
