# SPDX-License-Identifier: GPL-2.0-or-later
"""What counting the driver's instructions costs in exact time: CPU time of the same boot, with and without."""

from __future__ import annotations

import resource
import statistics
import tempfile
from pathlib import Path

from figures import Figure, seconds
from on_board import BOARD

from panthorlab.board.boardtime import TimeName
from panthorlab.board.registry import open_board
from panthorlab.coverage import counts
from panthorlab.coverage.dwarf import merged
from panthorlab.errors import LabError
from panthorlab.kernel.driver import PANTHOR
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.symbols import functions

PAIRS = 5
ITERATIONS = 100
TIMEOUT = 600.0


def _text(kernel: Kernel) -> tuple[tuple[int, int], ...]:
    prefix = f"{PANTHOR.name}_"
    found = functions(kernel.path / "vmlinux", lambda name, file: (file or name).startswith(prefix))
    return merged((one.address, one.address + len(one.code)) for one in found)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _boot(kernel: Kernel, text: tuple[tuple[int, int], ...] | None) -> tuple[float, str]:
    """CPU time of QEMU and the model, and the digest of the run."""
    before = _processor_seconds()
    with tempfile.TemporaryDirectory() as folder:
        live = counts.create(Path(folder, "counts"), text) if text else None
        with open_board(BOARD).boot(kernel, log_dir=Path(folder), counts=live, time=TimeName.EXACT) as board:
            argv = ["iterate", "--name", "exit", "--prefix", "it", "--count", str(ITERATIONS), "--", "heap-exit"]
            argv = [f"{board.work_dir}/{word}" if word in ("iterate", "heap-exit") else word for word in argv]
            done = board.shell.run([*argv, "--mode", "exit"], timeout=TIMEOUT)
            if done.status:
                raise LabError(f"iterate ended with {done.status}: {done.stderr.decode(errors='replace')[-500:]}")
            digest = board.digest()
            if digest is None:
                raise LabError(f"the board lived in the host's time: {board.facts().get('time_why')}")
        if live is not None and not any(counts.read(live).values):
            raise LabError("nothing of the driver was counted")
    return _processor_seconds() - before, digest.sha256


def cost(kernel: Kernel) -> Figure:
    """The median over pairs of boots, one after the other, for a busy machine changes what CPU time is worth."""
    text = _text(kernel)
    ratios, plain, counted, digests = list[float](), list[float](), list[float](), set[str]()
    _boot(kernel, None)
    for _ in range(PAIRS):
        for into, ranges in ((plain, None), (counted, text)):
            used, digest = _boot(kernel, ranges)
            into.append(used)
            digests.add(digest)
        ratios.append(counted[-1] / plain[-1])
    if len(digests) != 1:
        raise LabError("counting has changed the run")
    ratio = f"{statistics.median(ratios):.2f} ×"
    return Figure(f"coverage in exact time, boot and {ITERATIONS} × exit", "≤ 1.15 ×", ratio, {
        "CPU time with": seconds(statistics.median(counted)),
        "CPU time without": seconds(statistics.median(plain)),
        "least and greatest of the pairs": f"{min(ratios):.2f} × to {max(ratios):.2f} ×",
    })  # fmt: skip
