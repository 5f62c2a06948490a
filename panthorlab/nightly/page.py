# SPDX-License-Identifier: GPL-2.0-or-later
"""A night as one static HTML page: no scripts, nothing loaded from elsewhere, every text escaped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from panthorlab.history.pages import moment
from panthorlab.nightly.model import KernelNight, Night, NightOutcome
from panthorlab.nightly.work import PAGE
from panthorlab.report.html import environment
from panthorlab.report.text import percent, seconds

CSS: Final = {
    NightOutcome.GOOD: "clean",
    NightOutcome.UNCHANGED: "unchanged",
    NightOutcome.FAILING: "failed",
    NightOutcome.INCONCLUSIVE: "inconclusive",
    NightOutcome.REGRESSED: "regressed",
    NightOutcome.ERROR: "error",
}


def render(night: Night, nights: Sequence[tuple[str, int, int, int]]) -> str:
    """The worst kernel first. `nights`: newest first, each with what was attempted, judged and lost."""
    kernels = sorted(night.kernels, key=lambda one: -one.state.badness)

    def link(kernel: KernelNight) -> str:
        """To the comparison, from where the page lies."""
        page = Path(kernel.directory) / PAGE
        there = bool(kernel.directory) and page.is_file()
        return quote(os.fsencode(os.path.relpath(page, night.directory))) if there else ""

    return (
        environment()
        .get_template("night.html.j2")
        .render(
            night=night,
            kernels=kernels,
            nights=nights,
            named=[(kernel, kernel.culprit) for kernel in kernels if kernel.culprit],
            css=CSS,
            link=link,
            moment=moment,
            seconds=seconds,
            percent=percent,
        )
    )
