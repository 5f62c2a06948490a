# SPDX-License-Identifier: GPL-2.0-or-later
"""pytest on suites, in a process of its own: with panthorlab's plugin, and with nothing of the directories that it, the
suites or its user are in."""

from __future__ import annotations

import os
import sys
from typing import Final

OF_USERS: Final = frozenset({"PYTEST_ADDOPTS", "PYTEST_PLUGINS"})
"""What pytest takes from its environment: `-k`, `-x` or a plugin there would leave out tests, and nobody would know."""


def suite_environment() -> dict[str, str]:
    """The environment of a pytest on suites whose results count: nothing there changes what it runs."""
    kept = {name: value for name, value in os.environ.items() if name not in OF_USERS}
    # other plugins are not for suites, and importing some of them takes longer than a boot
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


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
