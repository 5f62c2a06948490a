# SPDX-License-Identifier: GPL-2.0-or-later
"""A GPU that does wrong while it works and sleeps: what the driver must say of it, and that it works on afterwards."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

from panthorlab.board.api import RemoteFileError
from panthorlab.kmsg.model import Finding
from panthorlab.run.session import Session

ROUNDS: Final = 3
AUTOSUSPEND: Final = "/sys/bus/platform/devices/{device}/power/autosuspend_delay_ms"
RUNTIME_STATUS: Final = "/sys/bus/platform/devices/{device}/power/runtime_status"
FALLS_ASLEEP: Final = 10.0
RESIDUAL: Final = frozenset({"mmu-fault"})
"""What good kernels say now and then when several groups with heaps end at once (docs/findings/0020): a test of that
expects it. Claims ask for what a single client must never see."""
KILLED: Final = RESIDUAL | {"cs-fatal", "cs-fault"}
"""The same of groups that are killed at work: their memory may go before a stream has got its next instruction, their
heap before the tiler has got its next chunk (7.3.4)."""
LEFT_AT_UNPLUG: Final = frozenset({"job-timeout"})
"""What is said every 5 s of jobs that were on the GPU at an unplug, whatever runs by then (docs/findings/0037)."""
LOCKED_REGION: Final = b"locked_region.size > 0"
"""Of drivers that lock what they unmap, and may leave it locked when the GPU is reset meanwhile."""
REFUSED: Final = frozenset({errno.EIO, errno.ENODEV, errno.ENXIO, errno.EBUSY, errno.EINVAL, errno.ETIMEDOUT})
"""What the kernel says of a file in sysfs whose device does not do as it should. That there is no such file, or that
one may not write it, is no word of the driver's."""
CONSEQUENCES: Final = frozenset({"power-error", "firmware-error", "gpu-reset", "job-timeout"})
OFF_THE_GPU: Final = "warning:panthor:drm_warn_on-list_empty-sched-groups-runnable-i:panthor_sched_pre_reset"
"""Of groups that wait for a slot when the GPU is reset: kernels before 7.0 warn of them (docs/findings/0025)."""


@dataclass(frozen=True)
class Trouble:
    """`rules` make the GPU do wrong. `findings`: kinds of which the driver must make one; none: it must bear it
    in silence, and all jobs must work. `also`: kinds that this may cause beside the usual consequences."""

    rules: tuple[str, ...]
    findings: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return "+".join(self.rules)


def require(condition: bool, otherwise: str) -> None:
    """Fail the test unless `condition`: the kernel under test is at fault."""
    if not condition:
        raise AssertionError(otherwise)


def provoke(session: Session, trouble: Trouble) -> None:
    """Jobs and sleep while the GPU does wrong, until it has. Then it must work without another word, also after panthor
    was taken off it and put back, which leaves a fresh driver to the next test."""
    names = [rule.partition(",")[0] for rule in trouble.rules]
    expected = CONSEQUENCES | trouble.findings | trouble.also if trouble.findings else frozenset()
    with session.findings_expected(set(expected)) as found:
        with session.misbehaving(*trouble.rules):
            before = [session.struck(name) for name in names]
            for _ in range(ROUNDS):
                session.job("suspend-loop", "--count", "2", timeout=60, must_pass=not trouble.findings)
                struck = all(session.struck(name) > old for name, old in zip(names, before, strict=True))
                if struck and (found() or not trouble.findings):
                    break
            if not struck and not trouble.findings:
                pytest.skip(f"this driver gives no occasion for {trouble}")
            require(struck, f"no occasion for {trouble}")
        kinds = {finding.kind.value for finding in found()}
        session.job("store", timeout=60, retries=3)  # a reset may still be under way
        require(
            not trouble.findings or bool(kinds & trouble.findings),
            f"the driver said nothing of {trouble}: {sorted(kinds)}",
        )
    known = session.finding_count()
    try:
        session.job("suspend-loop", "--count", "2", timeout=60)
    except AssertionError:
        late = {finding.kind for finding in session.findings()[known:]}
        rebind(session)
        if trouble.findings and late == {"job-timeout"} and session.driver_contains(LOCKED_REGION):
            pytest.xfail("docs/findings/0036: a lock taken during the reset makes a later job hang")
        raise
    rebind(session)
    later = session.findings()[known:]
    require(not later, f"after {trouble}: " + "\n".join(finding.text for finding in later))


@contextmanager
def awake(session: Session, ms: int = 10_000) -> Iterator[None]:
    """Within, the GPU does not go to sleep by itself, so that what starts its firmware is a reset; or, with `ms`, only
    so long after its last work."""
    shell = session.board.shell
    path = AUTOSUSPEND.format(device=_device(session))
    with _of_the_device():
        usual = shell.get(path)
        shell.put(str(ms).encode(), path)
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:
        try:
            with _of_the_device():
                shell.put(usual, path)
        except (AssertionError, RemoteFileError) as also:
            error.add_note(str(also))  # what went wrong first counts: a device that is half gone has no such file
        raise
    except pytest.skip.Exception:
        with _of_the_device():
            shell.put(usual, path)
        raise
    with _of_the_device():
        shell.put(usual, path)


def fall_asleep(session: Session) -> None:
    """The GPU goes to sleep now, though it be `awake`."""
    shell, time = session.board.shell, session.board.time
    device = _device(session)
    deadline = time.now() + FALLS_ASLEEP * session.board.slowness
    with _of_the_device():
        shell.put(b"0", AUTOSUSPEND.format(device=device))
        while (status := shell.get(RUNTIME_STATUS.format(device=device)).strip()) != b"suspended":
            require(time.now() < deadline, f"the GPU is {status.decode()}, and does not fall asleep")


def _device(session: Session) -> str:
    """The platform device that the driver is on."""
    handover = [f"{session.board.work_dir}/handover", "bound"]
    return session.board.shell.run(handover, timeout=10).stdout.decode().split()[0]


@contextmanager
def _of_the_device() -> Iterator[None]:
    """Within, files of the GPU's device in sysfs are read and written. What they refuse, the kernel under test refuses,
    and the test fails by it; a board that does not answer, or a helper on it that dies, is the lab's error."""
    try:
        yield
    except RemoteFileError as error:
        require(error.errno not in REFUSED, f"{error} (is the driver still on the GPU, and able to wake it?)")
        raise


def kernel_version(session: Session) -> tuple[int, int]:
    """Of the kernel under test, as (6, 12)."""
    major, minor = re.findall(r"\d+", session.kernel.release)[:2]
    return int(major), int(minor)


def with_warnings(session: Session, *kinds: str) -> set[str]:
    """`kinds`, and on kernels before 7.0 warnings: of page tables that are at odds with the table of mappings when the
    MMU has not answered, and of resets that fail (docs/findings/0003, 0010). Later ones know how to go on."""
    return {*kinds, "warning"} if kernel_version(session) < (7, 0) else set(kinds)


def wrong_warnings(session: Session, findings: Iterable[Finding]) -> list[str]:
    """What warnings say, but for `OFF_THE_GPU` of kernels that are known for it."""
    warnings = [finding for finding in findings if finding.kind == "warning"]
    known = kernel_version(session) < (7, 0)
    return [finding.text for finding in warnings if not (known and finding.signature.startswith(OFF_THE_GPU))]


def works(session: Session) -> bool:
    """Whether a job still ends as it must, at the latest when a reset that is under way is over."""
    with session.findings_expected({"warning", "mmu-fault", *CONSEQUENCES}):
        return session.job("store", timeout=60, must_pass=False, retries=2).report.ok


def probe(session: Session) -> int:
    """Take panthor off the GPU if it is there, put it back, and return what its probe did: 0, or a negative errno."""
    result = session.program("gpu-bind", "--mode", "once", timeout=60)
    require(result.report.ok, "\n".join((f"gpu-bind: {result.report.why}", *result.report.lines)))
    return int(result.info["bind"])


def rebind(session: Session) -> None:
    """Take panthor off the GPU and put it back; then jobs and sleep must work."""
    status = probe(session)
    require(not status, f"the probe failed: {os.strerror(-status)}")
