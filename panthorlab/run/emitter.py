# SPDX-License-Identifier: GPL-2.0-or-later
"""How a worker's events get to its controller."""

from __future__ import annotations

import json
import os
import threading

from panthorlab.run.record import OfBoot
from panthorlab.run.record.versions import as_json


class Emitter:
    """Sends events to the controller, one JSON line each; without a controller, nowhere."""

    def __init__(self, fd: int | None) -> None:
        self._fd, self._lock = fd, threading.Lock()

    def __call__(self, event: OfBoot) -> None:
        if self._fd is None:
            return
        data = json.dumps(as_json(event), separators=(",", ":")).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]
