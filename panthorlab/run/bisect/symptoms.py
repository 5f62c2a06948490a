# SPDX-License-Identifier: GPL-2.0-or-later
"""What a boot says about the one fault that is searched for; pure functions of its events."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.outcome import Blame, Outcome, Role
from panthorlab.run.record import BisectBoot, BootEnd, Event, Iteration, LogGap, StrayEvent, Tested

BOOT_FAILED: Final = "boot-failed"
UNNAMED: Final = ("test:", "failed:", BOOT_FAILED)
"""Symptoms without a finding begin so; findings say more."""


class Answer(StrEnum):
    """What a boot says about its commit."""

    SEEN = "seen"
    CLEAN = "clean"
    OTHER = "other"
    """Another fault: whether this one would have come, nobody knows."""
    LAB = "lab"


@dataclass
class Observation:
    """Of one boot. See `BisectBoot`."""

    symptoms: set[str] = field(default_factory=set)
    blamed: set[str] = field(default_factory=set)
    error: str = ""


def observe(events: Iterable[Event], slot: str) -> Observation:
    """All attempts at one boot of the plan, taken together: what one of them showed was there."""
    made, ran, complete, lost = Observation(), False, False, ""
    for event in events:
        if getattr(event, "slot", None) != slot:
            continue
        match event:
            case Iteration():
                made.symptoms.update(event.signatures)
                ran = ran or event.outcome in (Outcome.PASS, Outcome.FAIL)
                lost = lost or (event.message if event.outcome is Outcome.ERROR else "")
                if event.outcome is Outcome.FAIL:
                    _blame(made, event.signatures or (f"failed:{event.workload}",), watch=event.role is Role.WATCH)
            case StrayEvent() if not event.expected:
                _blame(made, (str(event.finding["signature"]),))
            case Tested():
                ran = ran or event.outcome in (Outcome.PASS, Outcome.FAIL)
                lost = lost or (event.message if event.outcome is Outcome.ERROR else "")
                if event.outcome is Outcome.FAIL:
                    _blame(made, (f"test:{event.name}",))
            case LogGap():
                lost = lost or "records of the kernel log were lost"
            case BootEnd():
                complete = complete or event.complete
                if event.outcome is Outcome.FAIL and event.blame is Blame.KERNEL:
                    _blame(made, (BOOT_FAILED,))
                elif not event.complete:
                    made.error = event.why or "the boot did not reach its end"
    if complete:
        made.error = lost or ("" if ran else "nothing ran")
    elif not made.error and not made.blamed:
        made.error = "the boot did not reach its end"
    return made


def _blame(made: Observation, names: Sequence[str], *, watch: bool = False) -> None:
    made.symptoms.update(names)
    if not watch:
        made.blamed.update(names)


@dataclass(frozen=True)
class WantedFault:
    """The fault that is searched for. `text`: a signature, a kind of finding, or a regular expression that matches a
    whole signature."""

    text: str

    @classmethod
    def checked(cls, text: str) -> WantedFault:
        """Raises UsageError."""
        try:
            re.compile(text)
        except re.error:  # a signature has what is special to expressions
            if not re.match(r"[\w-]+:", text):
                raise UsageError(
                    f"--signature {text}: neither a signature nor a regular expression",
                    hint="`panthorlab scan --json` prints signatures",
                ) from None
        return cls(text)

    def matches(self, symptom: str) -> bool:
        if self.text in (symptom, symptom.partition(":")[0]):
            return True
        try:
            return re.fullmatch(self.text, symptom) is not None
        except re.error:
            return False


def answer(boot: BisectBoot, wanted: WantedFault, background: Iterable[str]) -> Answer:
    """`background`: what the good end shows, too."""
    if any(map(wanted.matches, boot.symptoms)):
        return Answer.SEEN
    if set(boot.blamed) - set(background):
        return Answer.OTHER
    return Answer.LAB if boot.error else Answer.CLEAN


def choose(bad: Iterable[BisectBoot], good: Iterable[BisectBoot]) -> list[str]:
    """Signatures that can be searched for, best first: findings before failed tests, frequent before rare; none that
    the good end shows. If it shows all of them, these."""
    often = Counter(symptom for boot in bad for symptom in boot.blamed)
    rows = sorted(often, key=lambda name: (name.startswith(UNNAMED), -often[name], name))
    shared = {symptom for boot in good for symptom in boot.symptoms}
    return [name for name in rows if name not in shared] or rows
