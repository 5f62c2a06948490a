# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots on other hosts when the scheduler dies, or the controller is stopped or killed: no boot is left behind on any
host, and the run goes on where it was. The suite is not panthorlab's, and neither is a program that it runs."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from panthorlab.kernel.store import load
from panthorlab.outcome import Outcome
from panthorlab.run.record import Tested
from panthorlab.run.record.log import read_run
from panthorlab.run.results import unfinished
from tests.loopback_hosts import LoopbackHosts, loopback_hosts

from .conftest import HOUR, Cli
from .running import STOP_SECONDS, Running, marked

pytestmark = [pytest.mark.e2e, pytest.mark.wide]
LEASE = 20
SUITE = """
import time
from pathlib import Path

PROGRAM = Path(__file__).with_name("program.txt").read_text()


def test_a_program_of_the_overlay_runs(session):
    assert session.check(PROGRAM, "--mode", "info").info


def test_that_waits_until_it_may_end(session):
    while not Path({may_end!r}).exists():
        time.sleep(0.1)
    session.job("info")
"""


@dataclass(frozen=True)
class Lab:
    """`asked`: a command whose two boots, one of each side, wait for the file `may_end` in the middle."""

    hosts: LoopbackHosts
    asked: Sequence[str | Path]
    run: Path
    may_end: Path

    def start(self, *options: str) -> Running:
        """With both boots in the middle."""
        running = Running(self.run, [*self.asked, "--hosts", self.hosts.address, *options, "--output", self.run], {})
        running.until(lambda: len(running.events(Tested)) == 2, timeout=HOUR)
        assert len(self.boots("qemu")) == 2
        return running

    def boots(self, word: str = "") -> dict[int, str]:
        """What runs on the hosts for boots."""
        workers = {process.pid for process in self.hosts.processes.values()}
        found = {pid for cache in self.hosts.caches for pid in marked(f"XDG_CACHE_HOME={cache}")} - workers
        lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in found}
        return {pid: text for pid, path in lines.items() if path.exists() and word in (text := path.read_text())}

    def await_no_boots(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while left := self.boots():
            assert time.monotonic() < deadline, left
            time.sleep(0.1)

    def resume(self, cli: Cli, *options: str) -> None:
        """To its end, at which both tests of both sides have passed once."""
        self.may_end.touch()
        done = cli("resume", self.run, *options)
        events = read_run(self.run)
        assert unfinished(events) is None, done.stderr
        passed = [(one.arm, one.test) for one in events if isinstance(one, Tested) and one.outcome is Outcome.PASS]
        assert len(passed) == len(set(passed)) == 4, passed
        assert done.exit == done.json["exit"] != 4


@pytest.fixture
def lab(build: Callable[[Sequence[str]], str], tmp_path: Path) -> Iterator[Lab]:
    without = build(["without-fix"])
    mine, overlay, may_end = tmp_path / "mine", tmp_path / "overlay", tmp_path / "may-end"
    mine.mkdir()
    (mine / "test_mine.py").write_text(SUITE.format(may_end=str(may_end)))
    (mine / "program.txt").write_text("/usr/bin/my-own-program")
    kernel = load(without)
    assert kernel is not None
    (overlay / "usr/bin").mkdir(parents=True)
    shutil.copy(kernel.guest / "gpu-job", overlay / "usr/bin/my-own-program")
    kernels = ("--before", without, "--after", build([]))
    asked = ("validate", *kernels, "--suite", mine / "test_mine.py", "--boots", "1")
    (tmp_path / "hosts").mkdir()
    with loopback_hosts(tmp_path / "hosts", 2) as hosts:
        yield Lab(hosts, (*asked, "--overlay", overlay), tmp_path / "run", may_end)


def test_the_scheduler_dies(lab: Lab, cli: Cli) -> None:
    running = lab.start()
    lab.hosts.scheduler.send_signal(signal.SIGKILL)
    assert running.wait(HOUR) == 4
    assert "scheduler" in running.stderr
    assert f"panthorlab resume {lab.run}" in running.stderr
    running.assert_nothing_left()
    lab.await_no_boots(STOP_SECONDS)
    lab.resume(cli)  # here: it is the same run, wherever its boots are


def test_ctrl_c_ends_boots_and_takes_their_logs(lab: Lab, cli: Cli) -> None:
    running = lab.start()
    running.signal(signal.SIGINT)
    assert running.wait(HOUR) == 130
    assert not lab.boots(), "they have ended when the controller has"
    assert f"panthorlab resume {lab.run}" in running.stderr
    boots = [path for path in (lab.run / "boots").iterdir() if (path / "host.json").exists()]
    assert len(boots) == 2
    for boot in boots:
        assert json.loads((boot / "host.json").read_text())["address"] in lab.hosts.processes
        assert (boot / "kmsg.log").stat().st_size > 0
    lab.resume(cli, "--hosts", lab.hosts.address)


def test_boots_of_a_killed_controller_are_ended(lab: Lab, cli: Cli) -> None:
    running = lab.start("--hosts-lease", f"{LEASE}s")
    time.sleep(LEASE)  # as long as the controller is there, it is heard of
    assert len(lab.boots("qemu")) == 2
    running.signal(signal.SIGKILL)
    running.wait()
    lab.await_no_boots(LEASE + STOP_SECONDS)
    lab.resume(cli, "--hosts", lab.hosts.address)
