# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress of asynchronous work: endpoint jobs, deferred operations, the answer to TILER_OOM.

Only `CommandStream.run` calls this, never a timer: all memory accesses of a stream happen in its slices.
"""

from __future__ import annotations

from panthorlab.gpu.cs.machine import CS_BUS_FAULT, CsFaultError, EndpointJob, StreamMachine
from panthorlab.gpu.cs.ports import BusError, MemoryFault
from panthorlab.gpu.cs.state import Oom
from panthorlab.gpu.cs.tiler import supply, take_answer


def settle(machine: StreamMachine) -> bool:
    """Complete all work that can complete now; True if anything changed.

    Raises MemoryStall (no work is lost, call again) and CsFaultError (the faulting operation has been dropped).
    """
    if not (machine.jobs or machine.deferred) and machine.oom_answer is None:
        return False
    changed = _answer(machine)
    again = True
    while again:
        again = False
        for job in tuple(machine.jobs):
            if not job.timed and _supplied(machine, job):
                machine.complete(job)
                again = True
        for operation in tuple(machine.deferred):
            if machine.busy & operation.wait:
                continue
            try:
                operation.effect(machine, operation.a, operation.b)
            except (MemoryFault, BusError) as error:
                machine.deferred.remove(operation)
                machine.give(operation.signal)
                raise CsFaultError(CS_BUS_FAULT, error.va, in_stream=False) from None
            machine.deferred.remove(operation)
            machine.give(operation.signal)
            again = True
        changed |= again
    return changed


def _answer(machine: StreamMachine) -> bool:
    if machine.oom_answer is None:
        return False
    try:
        return take_answer(machine)
    except (MemoryFault, BusError) as error:
        _drop_tilers(machine)
        raise CsFaultError(machine.params.endpoint_fault, error.va, in_stream=False) from None
    except CsFaultError:
        _drop_tilers(machine)
        raise


def _supplied(machine: StreamMachine, job: EndpointJob) -> bool:
    if not job.chunks:
        return True
    try:
        return supply(machine, job)
    except (MemoryFault, BusError) as error:
        machine.drop(job)
        raise CsFaultError(machine.params.endpoint_fault, error.va, in_stream=False) from None
    except CsFaultError:
        machine.drop(job)
        raise


def _drop_tilers(machine: StreamMachine) -> None:
    """The heap cannot grow: end the jobs that wait for chunks."""
    machine.oom, machine.oom_answer = Oom.NONE, None
    for job in tuple(machine.jobs):
        if job.chunks:
            machine.drop(job)
