# SPDX-License-Identifier: GPL-2.0-or-later
"""How a worker's events get to its controller."""

from __future__ import annotations

import json
import os
import threading

from panthorlab.run.record import OfBoot
from panthorlab.run.record.versions import as_json


class Emitter:
    """Sends events to the controller, one JSON line each; without a controller, nowhere.

    A controller that has gone is no error here: a signal tells the worker (`leaving`), and an exception on top of that,
    while boards are put in order, would leave them as they are.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd, self._lock = fd, threading.Lock()

    def __call__(self, event: OfBoot) -> None:
        data = json.dumps(as_json(event), separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._fd is None:
                return
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except BrokenPipeError:
                self._fd = None
