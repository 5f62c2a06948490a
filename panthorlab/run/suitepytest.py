# SPDX-License-Identifier: GPL-2.0-or-later
"""pytest on suites, in a process of its own: with panthorlab's plugin, and with nothing of the directories that it, the
suites or its user are in."""

from __future__ import annotations

import os
import sys


def suite_pytest(*arguments: str) -> list[str]:
    """The command, and its further `arguments`."""
    return [
        sys.executable,
        "-P",  # no module of the directory it runs in
        "-m",
        "pytest",
        "-p",
        "panthorlab.run.plugin",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--import-mode=importlib",
        "--noconftest",  # the plugin takes those beside the suites; those above them nobody has asked for
        *arguments,
    ]
