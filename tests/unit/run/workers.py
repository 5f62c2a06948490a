# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker as the controller starts it, on one suite, for tests of what comes of that."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from panthorlab.run.job import Job
from panthorlab.run.record.codec import encode
from panthorlab.run.worker import worker_argv

ROOT = Path(__file__).parents[3]


def job_on(suite: Path, **facts: Any) -> Job:
    """A job on `suite`, with its logs beside that. Its kernel does not exist, and no board is booted for what the tests
    do with it. `facts`: what is otherwise."""
    folder = str(suite.parent)
    plain = Job(
        board="qemu-g610",
        kernel="none",
        arm="kernel",
        slot="kernel1",
        boot="kernel1.1",
        index=0,
        boots=1,
        run_dir=folder,
        log_dir=folder,
        suites=(str(suite),),
        iterations=None,
        seed=1,
    )
    return replace(plain, **facts)


def work(job: Job) -> tuple[int, list[dict[str, Any]]]:
    """A worker's exit status and events."""
    folder = Path(job.log_dir)
    (folder / "job.json").write_text(json.dumps(encode(job)))
    read_end, write_end = os.pipe()
    done = subprocess.run(
        worker_argv(folder, write_end),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        pass_fds=(write_end,),
        check=False,
        capture_output=True,
        timeout=120,
    )
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        return done.returncode, [json.loads(line) for line in stream]
