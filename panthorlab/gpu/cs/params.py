# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters of the interpreter: durations of simulated work, and behaviour that is unknown outside Arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CsParams:
    """Parameters of command streams. Times are seconds; 0: the work is done when it is issued."""

    compute_seconds: float = 0.0
    """How long RUN_COMPUTE and RUN_COMPUTE_INDIRECT hold their scoreboard slot."""

    tiling_seconds: float = 0.0
    """The same for RUN_TILING, RUN_IDVS and RUN_FULLSCREEN."""

    fragment_seconds: float = 0.0
    """The same for RUN_FRAGMENT."""

    chunks_per_tiling: int = 0
    """Heap chunks that every RUN_TILING and RUN_IDVS takes. 0: the tiler does not touch the heap."""

    resume: Literal["skip", "next"] = "skip"
    """After an acknowledged CS_FAULT (inferred: docs/fidelity.md). `skip`: until the next ERROR_BARRIER only register
    moves, arithmetic, loads, WAIT, JUMP and error-propagating SYNC_ADD/SET have an effect. They must: the driver's
    epilogue loads the address of its sync object, adds to it, and only then comes its ERROR_BARRIER; skipping these
    too would leave every later fence of the queue one short, and hang the queues that wait for this one. `next`:
    everything is executed, only the error status sticks."""

    exception_data: int = 0
    """EXCEPTION_DATA of CS_FAULT and CS_FATAL (24 bits); its encoding is unknown."""

    endpoint_fault: int = 0x44
    """Exception type of CS_FAULT when the tiler's own access faults (CS_ENDPOINT_FAULT; inferred)."""

    sync_error: int = 1
    """What an error-propagating SYNC_ADD/SET writes into the status word (Mesa's v10.xml: 0 no fault, 1 fault)."""

    initial_endpoint_slot: int = 0
    """Scoreboard slot of endpoint work before the first SET_SB_ENTRY (unknown)."""

    initial_other_slot: int = 0
    """The same for loads and stores (unknown)."""
