# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab record`: what `panthorlab run` does, with every access of the driver to the GPU's registers recorded."""

from __future__ import annotations

import argparse
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.run import single

DEFAULT: Final = ("--", "gpu-job", "--mode", "store")
"""What runs if nothing is named: a job that stores a word."""


def main(options: argparse.Namespace) -> int:
    """Exit status: as `run`."""
    if options.recording.exists():
        raise UsageError(f"{options.recording} is there already", hint="name another file")
    if not options.recording.parent.is_dir():
        raise UsageError(f"{options.recording.parent} is no directory", hint="make it")
    if not options.command and not options.suite:
        options.command = list(DEFAULT)
    options.boots = options.jobs = 1
    return single.main(options)
