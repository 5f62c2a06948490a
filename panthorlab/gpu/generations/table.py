# SPDX-License-Identifier: GPL-2.0-or-later
"""The generations that `--model` knows."""

from __future__ import annotations

from collections.abc import Mapping

from panthorlab.gpu.generation import Generation
from panthorlab.gpu.generations.g610 import G610

GENERATIONS: Mapping[str, Generation] = {generation.name: generation for generation in (G610,)}
DEFAULT_MODEL = G610.name
