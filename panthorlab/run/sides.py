# SPDX-License-Identifier: GPL-2.0-or-later
"""The two kernels that a command's options or a run's settings ask for, before they are built."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from panthorlab.kernel.build.plan import Sides
from panthorlab.kernel.job import prepare_sides
from panthorlab.kernel.patch.series import Intake
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.run.record import Settings


def sides_of(
    asked: argparse.Namespace | Settings,
    fragments: Sequence[str],
    *,
    progress: Progress = quiet,
    look: bool = False,
    intake: Intake | None = None,
) -> Sides:
    """As `job.prepare_sides`, with `fragments`. `intake`: what was asked for of patches, if it has been read."""
    return prepare_sides(
        asked.base,
        asked.patch or (),
        revert=asked.revert,
        swap=asked.swap,
        version=asked.patch_version,
        fragments=fragments,
        progress=progress,
        look=look,
        intake=intake,
    )
