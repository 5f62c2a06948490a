# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known about the boards of a lab between runs: who has which, which are fit for use, and why not.

One JSON file a board in the lab directory (`place`), changed under a lock and never half-written (`record`). A run
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
