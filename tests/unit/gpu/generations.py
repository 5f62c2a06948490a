# SPDX-License-Identifier: GPL-2.0-or-later
"""All generations that the model's tests are run with: those that are shipped, and those of the files in `made_up/`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from panthorlab.gpu.generation import Generation
from panthorlab.gpu.generations.table import GENERATIONS


def every_generation() -> list[Generation]:
    files = sorted((Path(__file__).parent / "made_up").glob("*.py"))
    return [*GENERATIONS.values(), *(import_module(f"tests.unit.gpu.made_up.{file.stem}").GENERATION for file in files)]
