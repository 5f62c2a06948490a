# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot's share of a workload's iterations: how many they are, in which batches they run, and when it is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from panthorlab.run.job import Job
from panthorlab.run.record import Iteration, OfBoot, Quota
from panthorlab.run.stopping import FIRST, hopeless, left_out
from panthorlab.run.workload import Workload, share

# Iterations of one `iterate` on the board; after each batch the board is asked whether it is well.
BATCH: Final = 120


def run_share(
    job: Job,
    workload: Workload,
    run_batch: Callable[[Workload, int], list[Iteration]],
    emit: Callable[[OfBoot], None],
    *,
    at_most: int | None = None,
) -> list[Iteration]:
    """Run what is not done yet of the boot's share of the workload's iterations (`at_most` so many in all boots, fewer
    of one that is many in one).

    `run_batch` runs so many of them, and sends each out itself. If the first of them all fail, the others are not run,
    and recorded so.
    """
    if job.workloads is not None and workload.name not in job.workloads:
        return []
    total = workload.planned(override=job.iterations, claims=job.claims, named=job.workloads is not None)
    total = total if at_most is None else min(total, workload.few(at_most))
    if job.extra is not None and not job.extra.get(workload.name):
        return []
    quota = share(total if job.extra is None else job.extra[workload.name], job.index, job.boots)
    done = job.done.get(workload.name, 0)
    emit(Quota(workload=workload.name, role=workload.role, planned=quota, arm_total=total))
    events: list[Iteration] = []
    why = None
    while why is None and done + len(events) < quota:
        events += run_batch(workload, min(BATCH if events else FIRST, quota - done - len(events)))
        why = hopeless(events)
    for number in range(quota - done - len(events)):
        assert why is not None  # noqa: S101 - else the loop above goes on
        events.append(left_out(workload, f"{job.boot}.{workload.name}.left-out-{number + 1}", why))
        emit(events[-1])
    return events
