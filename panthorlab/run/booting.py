# SPDX-License-Identifier: GPL-2.0-or-later
"""From a job to a booted board whose kernel has proved itself, and from there to the end of the boot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from panthorlab.board.board import Board
from panthorlab.board.boardtime import TimeName
from panthorlab.board.registry import board_name
from panthorlab.board.steps import Step, StepName, Steps
from panthorlab.errors import LabError, PanthorlabError
from panthorlab.run.bootend import end_by
from panthorlab.run.dependence import keep
from panthorlab.run.evidence import LogFollower
from panthorlab.run.job import Job
from panthorlab.run.kernels import resolve_kernel
from panthorlab.run.meter import open_meter
from panthorlab.run.record import BoardUp, BootStep, Doing, Note, OfBoot
from panthorlab.run.session import Session
from panthorlab.run.tracer import record_accesses
from panthorlab.run.workload import once_per_boot

COMMAND_LINE: Final = "/proc/cmdline"


@contextmanager
def booted(job: Job, find_board: Callable[[], Board], emit: Callable[[OfBoot], None]) -> Iterator[Session]:
    """Boot the job's kernel on its board and prove its identity. A boot that fails is reported and ends the pytest
    run."""
    log_dir = Path(job.log_dir)

    def on_step(step: Step) -> None:
        begin, end, took = (round(seconds, 3) for seconds in (step.begin, step.end, step.seconds))
        emit(BootStep(name=step.name, begin=begin, end=end, seconds=took, outcome=step.outcome, message=step.message))

    try:
        meter = open_meter(Path(job.coverage), log_dir) if job.coverage is not None else None
        kernel = resolve_kernel(job.kernel, log=log_dir / "build.log")
        board = find_board().boot(
            kernel,
            log_dir=log_dir,
            overlay=Path(job.overlay) if job.overlay else None,
            params={**job.params, "seed": str(job.seed)},
            on_progress=lambda text: emit(Doing(text=text)),
            on_step=on_step,
            method=job.boot_method,
            fresh=job.fresh or (meter is not None and meter.fresh),
            counts=meter.counts if meter is not None else None,
            time=job.time,
        )
    except PanthorlabError as error:
        emit(end_by(error, booted=False))
        pytest.exit(f"{board_name(job.board)} did not boot: {error}", returncode=4)
    with board:
        log = LogFollower(board, log_dir / "kmsg.log")
        session = Session(job, kernel, board, log, emit, meter=meter)
        try:
            with log:
                with Steps(on_step)(StepName.IDENTITY):
                    session.verify_identity()
                if meter is not None:
                    meter.check(board.shell)
                session.once = once_per_boot(board.shell.get(COMMAND_LINE).decode("utf-8", "replace"))
                emit(BoardUp(name=board.name, facts=board.facts(), boot_id=board.boot_id))
                if board.facts().get("time") == TimeName.EXACT:
                    keep(job, board.facts())
                if why := board.facts().get("time_why"):
                    emit(Note(text=f"{board.name} lives in the host's time, not in exact time: {why}"))
                file = log_dir / job.recording if job.recording else None
                with record_accesses(board, kernel, file, [Path(suite).name for suite in job.suites]):
                    yield session
                session.end_log()
                session.end_measuring()
            session.send_strays()
        except PanthorlabError as error:
            session.died = error
            session.send_strays()
            session.emit_end(complete=False)
            pytest.exit(f"{board.name}: {error}", returncode=4)
        except Exception as error:
            # A fault of ours behind the last test: what came after that was not looked at, so the boot proves nothing.
            session.died = session.died or LabError(f"panthorlab failed at the end of the boot: {error!r}")
            raise
