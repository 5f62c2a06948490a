# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a run may take, from figures of a recorded one: the default job on an idle machine with two cores.

They are told as what they are; a busy machine, another compiler and a patch that faults make them longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

# Seconds of one boot of *before* and one of *after* on the emulated board, each suite at its default iterations.
SUITE: Final[Mapping[str, float]] = {
    "probe": 1,
    "heap-exit-claim": 37,
    "heap-exit-controls": 12,
    "heap-exit-watch": 24,
    "gpu-after-fault": 9,
    "job-faults": 15,
    "job-timeout": 11,
    "reset": 1,
    "runtime-pm": 3,
    "firmware-images": 8,
    "firmware-interface": 7,
    "gpu-trouble": 5,
    "leaks": 6,
    "mmu-faults": 1,
    "scheduler": 12,
    "tiler-oom": 4,
    "uapi": 11,
    "unplug": 12,
    "vm-bind": 14,
    "later": 5,
    "handle-races": 6,
    "irq-storm": 4,
    "igt": 0,
    "igt-sync": 0,
    "igt-unplug": 0,
    "vulkan": 0,
    "vulkan-oom": 0,
    "compute": 0,
    "gl": 0,  # they need an overlay
    "fence-lock": 0,
    "lost-memory": 0,
    "huge-pages": 0,
    "reclaim": 0,
    "tracepoints": 0,
    "scarce-memory": 0,
    "deep-firmware-images": 0,
    "deep-gpu-trouble": 0,
    "deep-leaks": 0,
    "deep-mmu-stuck": 0,
    "deep-scheduler": 0,
    "deep-unplug": 0,  # they need --deep
}
UNKNOWN_SUITE: Final = 10.0
COUNTED: Final = "heap-exit"  # suites so called run in every boot, the others in the first of each side
BOOTS: Final = 13.0
CLAIM_ITERATIONS: Final = 240  # of each workload on *after*, to which SUITE belongs
UNPACKED: Final = 15.0  # a tree that has to be copied or unpacked first
WHOLE_BUILD: Final = 250.0
INCREMENT: Final = 10.0

DEBUG_BUILD: Final = 330.0  # KASAN and lockdep are in every file
DEEP_TEST: Final = 7.0  # of both sides, in boots of their own: on a debug kernel, or what takes long


def deep_seconds(tests: int, copies: int) -> float:
    """What `tests` take that do not run in the plain boots."""
    return tests * DEEP_TEST / max(1, min(copies, 2))


def boot_seconds(suites: Iterable[str], boots: int, copies: int, iterations: int | None) -> float:
    """Of all boots and iterations on the emulated board. `copies`: how many of it run at once."""
    pair, once = BOOTS, 0.0
    for suite in suites:
        share = iterations / CLAIM_ITERATIONS if iterations and suite.endswith("claim") else 1.0
        if suite.startswith(COUNTED):
            pair += SUITE.get(suite, UNKNOWN_SUITE) * share
        else:
            once += SUITE.get(suite, UNKNOWN_SUITE)
    return (pair * boots + once) / max(1, min(copies, 2 * boots, 2))  # the figures are of two cores


def build_seconds(missing: int, *, warm: bool, debug: bool = False) -> float:
    """Of `missing` kernels. `warm`: the tree has been built with this configuration, so each is an increment."""
    if not missing:
        return 0.0
    return missing * INCREMENT if warm else (DEBUG_BUILD if debug else WHOLE_BUILD) + (missing - 1) * INCREMENT
