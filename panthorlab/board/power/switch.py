# SPDX-License-Identifier: GPL-2.0-or-later
"""What a driver of a switch has to do: turn it once, and tell its state. All care beyond that is `supervised.py`'s."""

from __future__ import annotations

from typing import Protocol

from panthorlab.errors import LabError


class SwitchError(LabError):
    """The switch did not do it, or did not say that it did."""


class StatusError(SwitchError):
    """An HTTP status that means failure."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class NeedsPersonError(SwitchError):
    """What is wrong will still be wrong at the next try: wrong password, unknown outlet, no terminal."""


class Switch(Protocol):
    """A switch of one board's power. Turning on what is on, or off what is off, changes nothing: no toggles."""

    @property
    def name(self) -> str:
        """For people: which kind, where, which outlet. No secrets."""

    def turn(self, on: bool) -> None:
        """Raises SwitchError within the section's time-outs; the switch may have turned all the same."""

    def state(self) -> bool | None:
        """True on, False off, None if this kind of switch cannot tell. Raises SwitchError."""
