# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface of switch drivers: switch once, and read the state. `supervised.py` does everything beyond that."""

from __future__ import annotations

from typing import Protocol

from panthorlab.errors import LabError


class SwitchError(LabError):
    """The switch failed, or did not confirm success."""


class StatusError(SwitchError):
    """An HTTP status that means failure."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class NeedsPersonError(SwitchError):
    """An error that retries will not cure: wrong password, unknown outlet, no terminal."""


class Switch(Protocol):
    """A power switch of one board. Switching to the present state has no effect: no toggles."""

    @property
    def name(self) -> str:
        """For people: which kind, where, which outlet. No secrets."""

    def turn(self, on: bool) -> None:
        """Raises SwitchError within the section's timeouts; the switch may have switched nevertheless."""

    def state(self) -> bool | None:
        """True on, False off, None if this kind of switch cannot report it. Raises SwitchError."""
