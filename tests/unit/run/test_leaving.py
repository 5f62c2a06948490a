# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker whose controller has gone puts its boards in order, and ends, whatever hangs on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from panthorlab.outcome import Outcome
from panthorlab.run.emitter import Emitter
from panthorlab.run.record import BootEnd

WORKER = """
import sys, threading
from panthorlab.run.leaving import Leaving

Leaving({limit}).heed()
try:
    print("works", flush=True)
    threading.Event().wait()
except KeyboardInterrupt:
    print("tidies", flush=True)
    {tidy}
    print("done", flush=True)
"""
HANGS = {
    "in a lock": "threading.Event().wait()",
    "while the interpreter is taken down": """
    def fixture():
        try:
            yield
        finally:
            threading.Thread(target=print).start()
    kept = fixture()
    next(kept)
""",
}


@contextmanager
def worker(tidy: str, limit: float) -> Iterator[subprocess.Popen[str]]:
    code = WORKER.format(tidy=tidy, limit=limit)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "works\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("hang", HANGS)
def test_who_hangs_without_a_controller_is_ended(hang: str) -> None:
    with worker(HANGS[hang], 0.5) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert out.startswith("tidies\n")
    if hang == "in a lock" or process.returncode:  # since Python 3.12 no thread can be started then: an exception
        assert "Timeout" in err
        assert process.returncode == 1


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_cut_the_tidying_short(first: signal.Signals, second: signal.Signals) -> None:
    with worker("sys.stdin.readline()", 600) as process:
        assert process.stdout is not None
        process.send_signal(first)
        assert process.stdout.readline() == "tidies\n"
        process.send_signal(second)
        out, err = process.communicate("\n", timeout=60)
    assert (process.returncode, out, err) == (0, "done\n", "")


def test_nobody_hears_the_events_any_more() -> None:
    read_end, write_end = os.pipe()
    emit = Emitter(write_end)
    end = BootEnd(complete=True, outcome=Outcome.PASS, blame=None, reason="")
    emit(end)
    assert os.read(read_end, 1 << 16).endswith(b"\n")
    os.close(read_end)
    emit(end)
    emit(end)
    os.close(write_end)
