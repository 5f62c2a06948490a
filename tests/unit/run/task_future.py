# SPDX-License-Identifier: GPL-2.0-or-later
"""What distributed gives for a task, without a scheduler."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import dataclass


@dataclass
class TaskFuture:
    """`outcome`: a dict, an exception, or None while it runs."""

    outcome: object = None
    cancelled: bool = False

    @property
    def status(self) -> str:
        if self.outcome is None:
            return "pending"
        if isinstance(self.outcome, CancelledError):
            return "cancelled"
        return "error" if isinstance(self.outcome, Exception) else "finished"

    def done(self) -> bool:
        return self.outcome is not None

    def result(self, timeout: float) -> object:
        return self.outcome

    def exception(self) -> object:
        return self.outcome

    def cancel(self) -> None:
        self.cancelled = True

    def release(self) -> None:
        pass
