# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin behind `suites/`: `--board`/`--kernel`, the fixtures, and the events a worker sends.

`pytest suites --board NAME --kernel K` uses it through the top level conftest.py; `panthorlab validate` and `run`
load it by name with `--job`, and then every iteration and test goes out as one JSON line.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import pytest

from panthorlab.errors import BootError, EvidenceError, LabError, PanthorlabError, UsageError
from panthorlab.outcome import Blame, Outcome, Side
from panthorlab.run import overlay_need
from panthorlab.run.job import BOOT_METHODS, Job
from panthorlab.run.suites import turn
from panthorlab.run.workload import Workload

if TYPE_CHECKING:  # boards are not imported for every pytest run that merely has the plugin
    from panthorlab.run.session import Iterated, Session

_JOB = pytest.StashKey[Job]()
_EMIT = pytest.StashKey["Emitter"]()
_SESSION = pytest.StashKey["Session"]()
_BLAMED = pytest.StashKey[set[int]]()
OWN_STATUS: Final = 100
"""What `--own-status` adds to an exit status of panthorlab's, so that none is taken for one of pytest's."""


class Emitter:
    """Sends events to the controller, one JSON line each; without a controller, nowhere."""

    def __init__(self, fd: int | None) -> None:
        self._fd, self._lock = fd, threading.Lock()

    def __call__(self, event: str, **fields: Any) -> None:
        if self._fd is None:
            return
        data = json.dumps({"event": event, **fields}, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("panthorlab")
    group.addoption("--board", metavar="NAME", help="board to run suites on, a file of board_configs/")
    group.addoption(
        "--kernel", metavar="K", help="kernel to boot: store key, RUN:before, RUN:after, or build directory"
    )
    group.addoption("--iterations", type=int, metavar="N", help="iterations of each claim workload")
    group.addoption(
        "--boot-method", default="auto", choices=BOOT_METHODS, help="how a real board gets the kernel to run"
    )
    group.addoption(
        "--param", action="append", default=[], metavar="gpu.NAME=VALUE", help="parameter of the emulated GPU"
    )
    group.addoption("--overlay", metavar="NAME|DIR", help="laid over the board's root file system")
    group.addoption("--job", type=Path, help="(internal) what a worker of `panthorlab validate` is to do")
    group.addoption("--own-status", action="store_true",
                    help=f"(internal) exit with {OWN_STATUS} and a status of panthorlab's if a test or boot failed")
    group.addoption("--events-fd", type=int, help="(internal) where a worker's events go")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", overlay_need.MARKER)
    job_file: Path | None = config.getoption("--job")
    if job_file is not None:
        fields = json.loads(job_file.read_text())
        config.stash[_JOB] = Job(**{**fields, "side": Side(fields["side"]), "suites": tuple(fields["suites"])})
        config.args = list(fields["suites"])
        for folder in dict.fromkeys(Path(suite).parent for suite in fields["suites"]):
            if (folder / "conftest.py").is_file():
                config.pluginmanager.register(_module(folder / "conftest.py"))
        # The controller stops workers by signals; both must unwind through the fixtures that stop the board.
        # SIGINT is ignored in what a shell started in the background.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
    config.stash[_BLAMED] = set()
    config.stash[_EMIT] = Emitter(config.getoption("--events-fd"))


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conftest of {file.parent}", file)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - it is a .py file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Plain `pytest suites` takes the suites in the order in which the controller does, not in that of the alphabet."""
    job = config.stash.get(_JOB, None)
    if job is not None and not job.plain_tests:
        plain = [item for item in items if "iterate" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=plain)
        items[:] = [item for item in items if item not in plain]
    if job is not None:
        _leave_out_for_overlays(config, job, items)
    if _JOB not in config.stash and config.getoption("--board"):
        items.sort(key=lambda item: turn(item.path.stem.removeprefix("test_")))


def _leave_out_for_overlays(config: pytest.Config, job: Job, items: list[pytest.Item]) -> None:
    """Tests whose overlay an emulated board was not given are not run, and that is told. What a real board has, only
    it knows (`_require_overlay`)."""
    from panthorlab.run.fleet import is_real

    folder = Path(job.overlay) if job.overlay else None
    left = [item for item in items if (name := overlay_need.needed_by(item)) and not overlay_need.is_in(folder, name)]
    if not left or is_real(job.board):
        return
    notes = [overlay_need.advice(name, count) for name, count in Counter(map(overlay_need.needed_by, left)).items()]
    for note in notes:
        config.stash[_EMIT]("note", text=note)
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
    if left and not items:
        config.stash[_EMIT]("boot-end", complete=False, booted=False, outcome=Outcome.ERROR, blame=Blame.LAB,
                            reason="; ".join(notes), hint="", final=True)
        pytest.exit("nothing can run without the overlay", returncode=LabError.exit_status)


def _user_gave(config: pytest.Config, name: str) -> bool:
    """Whether plain pytest's board has the overlay `name`, or may have it: a real one is asked later."""
    from panthorlab.run.fleet import is_real

    return is_real(config.getoption("--board")) or overlay_need.is_in(_overlay_of(config), name)


def _overlay_of(config: pytest.Config) -> Path | None:
    from panthorlab.run.overlays import overlay_dir
    from panthorlab.run.progress import Progress

    return overlay_dir(config.getoption("--overlay"), Progress(quiet=True))


def _require_overlay(item: pytest.Item, booted: Session) -> None:
    """Of a real board; of an emulated one it is known before it boots."""
    from panthorlab.run.fleet import is_real

    name = overlay_need.needed_by(item)
    if name and is_real(booted.job_description.board) and not overlay_need.is_on(booted.board.shell, name):
        pytest.skip(overlay_need.advice(name, 1))


def _job_of(config: pytest.Config, tmp: Path) -> Job:
    """The worker's job, or the one that plain `pytest suites --board … --kernel …` amounts to."""
    if _JOB in config.stash:
        return config.stash[_JOB]
    board, kernel = config.getoption("--board"), config.getoption("--kernel")
    if not board or not kernel:
        raise pytest.UsageError("suites need a board and a kernel: pytest suites --board qemu-g610 --kernel KEY")
    from panthorlab.run.kernels import parse_params

    overlay = _overlay_of(config)
    return Job(
        board=board,
        kernel=kernel,
        side=Side.AFTER,
        slot="after1",
        boot="pytest",
        index=0,
        boots=1,
        run_dir=str(tmp),
        log_dir=str(tmp),
        suites=(),
        expect_fix=False,
        iterations=config.getoption("--iterations"),
        seed=1,
        params=parse_params(config.getoption("--param")),
        overlay=str(overlay) if overlay else None,
        boot_method=config.getoption("--boot-method"),
    )


@pytest.fixture(scope="session")
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The booted board with its evidence; one boot for all tests of this pytest run."""
    config = request.config
    job = _job_of(config, tmp_path_factory.mktemp("boot"))
    from panthorlab.run.session import Session

    try:
        with Session.boot(job, config.stash[_EMIT]) as booted:
            config.stash[_SESSION] = booted
            yield booted
    except pytest.exit.Exception as error:  # the board is gone, or never came
        config.stash[_BLAMED].add(getattr(error.__cause__ or error.__context__, "exit_status", LabError.exit_status))
        raise


@pytest.fixture
def iterate(session: Session, request: pytest.FixtureRequest) -> Callable[[Workload], Iterated]:
    """Run a workload's share of iterations on this boot; the result can say `expect_clean()`."""

    def run(workload: Workload) -> Iterated:
        request.node.stash[_WORKLOAD] = workload
        return session.iterate(workload)

    return run


_WORKLOAD = pytest.StashKey[Workload]()


@pytest.fixture(autouse=True)
def _only_expected_findings(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that leaves a finding it did not expect has failed, whatever else it checked."""
    if "session" not in request.fixturenames:
        yield
        return
    booted: Session = request.getfixturevalue("session")
    _require_overlay(request.node, booted)
    start = booted.finding_count()
    yield
    unexpected = booted.unexpected_since(start)
    if _WORKLOAD in request.node.stash:
        return  # iterations judge their own findings
    if unexpected:
        pytest.fail("the kernel log has findings this test did not expect:\n" + "\n".join(unexpected), pytrace=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    job = item.config.stash.get(_JOB, None)
    if job is not None and _name(item) in job.done_tests:
        pytest.skip("has its result from an earlier boot of this slot")
    name = overlay_need.needed_by(item) if job is None and item.config.getoption("--board") else ""
    if name and not _user_gave(item.config, name):
        pytest.skip(overlay_need.advice(name, 1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if (
        _WORKLOAD not in item.stash
        and _JOB in item.config.stash
        and (call.when == "call" or report.outcome != "passed")
    ):
        job = item.config.stash[_JOB]
        if _name(item) not in job.done_tests and job.extra is None:
            item.config.stash[_EMIT]("test", **_test_event(item, call, report))
    if call.excinfo is not None and report.outcome == "failed":
        item.config.stash[_BLAMED].add(_status_of(call.excinfo.value))
    booted = item.config.stash.get(_SESSION, None)
    if booted is not None and call.excinfo is not None and isinstance(call.excinfo.value, PanthorlabError):
        booted.note_death()
        if booted.died is not None:
            item.session.shouldstop = f"the board is gone: {booted.died}"
    return report  # type: ignore[return-value]


def _status_of(error: BaseException) -> int:
    """panthorlab's exit status for a test that ended by `error`."""
    if isinstance(error, pytest.UsageError):
        return UsageError.exit_status
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return BootError.exit_status
    return error.exit_status if isinstance(error, PanthorlabError) else LabError.exit_status


def _name(item: pytest.Item) -> str:
    return f"{item.path.stem.removeprefix('test_')}::{item.name}"


def _test_event(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> Mapping[str, Any]:
    outcome, blame = _judge(call.excinfo, report)
    message = "" if report.passed else str(call.excinfo.value if call.excinfo else report.longrepr)
    suite, _, test = _name(item).partition("::")
    return {
        "test": test,
        "suite": suite,
        "outcome": outcome,
        "blame": blame,
        "message": message[:4000],
        "seconds": round(report.duration, 3),
    }


def _judge(
    excinfo: pytest.ExceptionInfo[BaseException] | None, report: pytest.TestReport
) -> tuple[Outcome, Blame | None]:
    if report.passed:
        return Outcome.PASS, None
    if report.skipped:
        return Outcome.SKIP, Blame.LAB
    error = excinfo.value if excinfo else None
    if isinstance(error, LabError | EvidenceError):
        return Outcome.ERROR, Blame.LAB
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return Outcome.FAIL, Blame.KERNEL
    if isinstance(error, PanthorlabError):
        return Outcome.FAIL, Blame(error.blame)
    return Outcome.ERROR, Blame.TEST


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Say how the boot ended, if it got so far that a board was up."""
    config = session.config
    booted = config.stash.get(_SESSION, None)
    if booted is not None:
        complete = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        booted.emit_end(complete=complete)
    # As everywhere: what the lab did makes the kernel's failures no verdict, and bad input makes them no test.
    blamed = config.stash[_BLAMED]
    if config.getoption("--own-status") and blamed:
        worst = next(status for status in (UsageError.exit_status, LabError.exit_status, *blamed) if status in blamed)
        session.exitstatus = OWN_STATUS + worst
