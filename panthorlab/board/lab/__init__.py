# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of a lab's boards between runs: who holds which board, and which are usable or why not.

One JSON file per board in the lab directory (`place`), changed under a lock and replaced atomically (`record`). A run
holds a board by a lease (`lease`); boards that fail their health check are quarantined (`state`).
"""

from panthorlab.board.lab.lease import VARIABLE, BusyError, Lease, QuarantinedError, lease, run_token
from panthorlab.board.lab.place import lab_dir
from panthorlab.board.lab.state import LeaseState, Standing, quarantine, record_health, release, standing

__all__ = [
    "VARIABLE",
    "BusyError",
    "Lease",
    "LeaseState",
    "QuarantinedError",
    "Standing",
    "lab_dir",
    "lease",
    "quarantine",
    "record_health",
    "release",
    "run_token",
    "standing",
]
