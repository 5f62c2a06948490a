# SPDX-License-Identifier: GPL-2.0-or-later
"""Several runs at once, each in a thread: whatever ends one before its end ends all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from panthorlab.run.poll import POLL

T = TypeVar("T")


class HaltedError(Exception):
    """A run has ended early because one of those beside it has."""


def abreast(runs: Sequence[Callable[[], T]], stop: threading.Event) -> list[T]:
    """What each gives, in their order. `stop`: ends all of them, if one raises, or if Ctrl-C or the time limit come to
    this thread, which is the main one; that is raised when they have ended."""
    errors: list[BaseException] = []
    known, interrupted = threading.Event(), threading.Event()

    def guarded(run: Callable[[], T]) -> T:
        try:
            known.wait()
            if interrupted.is_set():
                raise HaltedError
            return run()
        except BaseException as error:
            errors.append(error)
            stop.set()
            raise

    pool = ThreadPoolExecutor(max(1, len(runs)), thread_name_prefix="run")
    try:
        futures = [pool.submit(guarded, run) for run in runs]
        known.set()  # a pool whose `submit` is interrupted would not wait for the thread that was being started
        _await(futures)
    except BaseException:
        interrupted.set()
        stop.set()
        raise
    finally:
        known.set()
        pool.shutdown(cancel_futures=True)
    if errors:
        raise next((error for error in errors if not isinstance(error, HaltedError)), errors[0])
    return [future.result() for future in futures]


def _await(futures: Sequence[Future[T]]) -> None:
    """In short waits: a signal in a long one would only be heard at its end."""
    left = set(futures)
    while left:
        _, left = wait(left, POLL, FIRST_COMPLETED)
