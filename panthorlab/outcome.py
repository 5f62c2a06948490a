# SPDX-License-Identifier: GPL-2.0-or-later
"""Outcomes of iterations, tests and boots, in KCIDB's words (schema v5 `status`), and whose fault they are."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """KCIDB test status. `ERROR`: the check could not be carried out; `MISS`: it never ran; never a pass."""

    PASS = "PASS"  # noqa: S105 - KCIDB's word, not a secret
    FAIL = "FAIL"
    ERROR = "ERROR"
    MISS = "MISS"
    SKIP = "SKIP"
    DONE = "DONE"


class Blame(StrEnum):
    """Whose fault an outcome other than PASS is."""

    KERNEL = "kernel"
    TEST = "test"
    LAB = "lab"


class Side(StrEnum):
    """The two kernels of a comparison."""

    BEFORE = "before"
    AFTER = "after"


class Role(StrEnum):
    """What a workload is for: `claim` decides the verdict, `watch` has its own, `control` must stay clean."""

    CLAIM = "claim"
    WATCH = "watch"
    CONTROL = "control"
