# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin behind `suites/`: `--board`/`--kernel`, the fixtures, and the events a worker sends.

`pytest suites --board NAME --kernel K` uses it through the top level conftest.py; `panthorlab validate` and `run`
load it by name with `--job`, and then every iteration and test goes out as one JSON line.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Final

import pytest

from panthorlab.board.boardtime import HELP as TIME_HELP
from panthorlab.board.boardtime import TIMES
from panthorlab.board.methods import AUTO, CHOICES, HELP
from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.run import overlay_need, overlay_tests
from panthorlab.run.arms import ALONE
from panthorlab.run.bootend import end_unbooted
from panthorlab.run.emitter import Emitter
from panthorlab.run.job import Job
from panthorlab.run.leaving import Leaving
from panthorlab.run.leftovers import can_tell, end_counted, what_is_left
from panthorlab.run.needs import MARKERS, lacking, name_of, need_of
from panthorlab.run.record import Need
from panthorlab.run.record.codec import encode
from panthorlab.run.suites import suite_name, turn
from panthorlab.run.testevents import parts_of, status_of, test_event
from panthorlab.run.workload import Workload

if TYPE_CHECKING:  # boards are not imported for every pytest run that merely has the plugin
    from panthorlab.board.board import Board
    from panthorlab.kernel.model import Kernel
    from panthorlab.run.session import Iterated, Session

_JOB = pytest.StashKey[Job]()
_EMIT = pytest.StashKey[Emitter]()
_SESSION = pytest.StashKey["Session"]()
_KERNEL = pytest.StashKey["Kernel | None"]()
_BLAMED = pytest.StashKey[set[int]]()
_BOARD = pytest.StashKey["Board"]()
_COUNTED = pytest.StashKey[dict[Path, set[str]]]()
_WORKLOAD, _FAILED = pytest.StashKey[Workload](), pytest.StashKey[bool]()
OWN_STATUS: Final = 100
"""What `--own-status` adds to an exit status of panthorlab's, so that none is taken for one of pytest's."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("panthorlab")
    group.addoption("--board", metavar="NAME", help="board to run suites on, a file of board_configs/")
    group.addoption(
        "--kernel",
        metavar="K",
        help="kernel to boot: store key, RUN:before, RUN:after, build directory, or URL#sha256=HEX",
    )
    group.addoption("--iterations", type=int, metavar="N", help="iterations of each claim workload")
    group.addoption("--boot-method", default=AUTO, choices=CHOICES, help=HELP)
    group.addoption("--time", choices=TIMES, help=TIME_HELP)
    group.addoption(
        "--param", action="append", default=[], metavar="gpu.NAME=VALUE", help="parameter of the emulated GPU"
    )
    group.addoption("--deep", action="store_true", help="also what takes long (tests marked `deep`)")
    group.addoption("--overlay", metavar="NAME|DIR", help="laid over the board's root file system")
    group.addoption("--job", type=Path, help="(internal) what a worker of `panthorlab validate` is to do")
    group.addoption("--needs", type=Path, metavar="FILE", help="(internal) write what the collected tests need")
    group.addoption(
        "--own-status",
        action="store_true",
        help=f"(internal) exit with {OWN_STATUS} and a status of panthorlab's if a test or boot failed",
    )
    group.addoption("--events-fd", type=int, help="(internal) where a worker's events go")


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    config.addinivalue_line("markers", overlay_need.MARKER)
    job_file: Path | None = config.getoption("--job")
    if job_file is not None:
        job = config.stash[_JOB] = Job.read(json.loads(job_file.read_text()))
        config.args = list(job.suites)
        Leaving().heed()
    if job_file is not None or config.getoption("--needs"):
        for folder in dict.fromkeys(Path(suite).parent for suite in config.args):
            if (folder / "conftest.py").is_file():
                config.pluginmanager.register(_module(folder / "conftest.py"))
    config.stash[_BLAMED], config.stash[_COUNTED] = set(), {}
    config.stash[_EMIT] = Emitter(config.getoption("--events-fd"))


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conftest of {file.parent}", file)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - it is a .py file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Plain `pytest suites` takes the suites in the order in which the controller does, not in that of the alphabet,
    and leaves out what is `deep` unless it is asked for. A worker runs what the controller has chosen."""
    job = config.stash.get(_JOB, None)
    try:
        needs = {item: need_of(item) for item in items}
    except UsageError as error:
        raise pytest.UsageError(f"{error}; {error.hint}") from error
    if (file := config.getoption("--needs")) is not None:
        file.write_text(json.dumps(encode(tuple(needs.values()))))
        return
    if job is not None:
        left = [item for item in items if not _wanted(job, needs[item])]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
        overlay_tests.leave_out(config, job, lambda: _board(config, job.board), items, config.stash[_EMIT])
        return
    if config.getoption("--board"):
        items.sort(key=lambda item: turn(item.path.stem.removeprefix("test_")))
        left = [item for item in items if needs[item].deep and not _asked_for_deep(config, item)]
    else:
        return
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def _wanted(job: Job, need: Need) -> bool:
    return (job.plain_tests or need.counted) and (job.tests is None or need.test in job.tests)


def _asked_for_deep(config: pytest.Config, item: pytest.Item) -> bool:
    """By `--deep`, by `-m`, or by naming the file; `panthorlab suites` names all of them, which asks for none."""
    named = not config.getoption("--own-status") and any(
        item.path == Path(str(config.invocation_params.dir), argument.partition("::")[0]) for argument in config.args
    )
    return named or config.getoption("--deep") or "deep" in config.getoption("markexpr")


def _unmet(item: pytest.Item) -> str:
    """Why a test that the user started cannot run on his board and kernel; empty if it can."""
    from panthorlab.kernel.driver import driver_of

    need = need_of(item)
    with TemporaryDirectory() as folder:
        job = _job_of(item.config, Path(folder))
        if why := need.unsuited([_board(item.config, job.board)]):
            return why
        if other := {name: value for name, value in need.gpu.items() if job.params.get(name) != value}:
            return "wants " + " ".join(f"--param gpu.{name}={value}" for name, value in sorted(other.items()))
        if (kernel := _kernel(item.config, job, Path(folder))) is None:
            return ""
        if lacks := lacking(kernel, need.kernel):
            return f"wants a kernel with {', '.join(lacks)}"
        return need.too_much_for([driver_of(kernel)])


def _kernel(config: pytest.Config, job: Job, folder: Path) -> Kernel | None:
    """The kernel that the user named, looked for once; None if there is none: who boots it says so."""
    from panthorlab.run.kernels import resolve_kernel

    if _KERNEL not in config.stash:
        try:
            config.stash[_KERNEL] = resolve_kernel(job.kernel, log=folder / "build.log")
        except UsageError:
            config.stash[_KERNEL] = None
    return config.stash[_KERNEL]


def _board(config: pytest.Config, name: str) -> Board:
    """The board of this pytest run; its file is read once."""
    from panthorlab.board.registry import open_board

    if _BOARD not in config.stash:
        config.stash[_BOARD] = open_board(name)
    return config.stash[_BOARD]


def _job_of(config: pytest.Config, tmp: Path) -> Job:
    """The worker's job, or the one that plain `pytest suites --board … --kernel …` amounts to."""
    if _JOB in config.stash:
        return config.stash[_JOB]
    board, kernel = config.getoption("--board"), config.getoption("--kernel")
    if not board or not kernel:
        # by `exit`: an error of one test would come with the text of this function, and once for each test
        pytest.exit("suites need a board and a kernel: pytest suites --board qemu-g610 --kernel KEY", returncode=4)
    from panthorlab.run.kernels import parse_params

    overlay = overlay_tests.overlay_of(config)
    return Job(
        board=board,
        kernel=kernel,
        arm=ALONE,
        slot=f"{ALONE}1",
        boot="pytest",
        index=0,
        boots=1,
        run_dir=str(tmp),
        log_dir=str(tmp),
        suites=(),
        iterations=config.getoption("--iterations"),
        seed=1,
        params=parse_params(config.getoption("--param")),
        overlay=str(overlay) if overlay else None,
        boot_method=config.getoption("--boot-method"),
        time=config.getoption("--time"),
    )


@pytest.fixture(scope="session")
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The booted board with its evidence; one boot for all tests of this pytest run."""
    config = request.config
    job = _job_of(config, tmp_path_factory.mktemp("boot"))
    from panthorlab.run.booting import booted

    try:
        with booted(job, lambda: _board(config, job.board), config.stash[_EMIT]) as up:
            config.stash[_SESSION] = up
            yield up
    except pytest.exit.Exception as error:  # the board is gone, or never came
        config.stash[_BLAMED].add(getattr(error.__cause__ or error.__context__, "exit_status", LabError.exit_status))
        raise


@pytest.fixture
def iterate(session: Session, request: pytest.FixtureRequest) -> Callable[[Workload], Iterated]:
    """Run a workload's share of iterations on this boot; the result can say `expect_clean()`."""

    def run(workload: Workload) -> Iterated:
        request.node.stash[_WORKLOAD] = workload
        at_most = session.job_description.at_most if request.node.get_closest_marker("kernel") is None else None
        return session.iterate(workload, at_most=at_most)

    return run


@pytest.fixture
def nothing_left(session: Session) -> None:
    """The test is about nothing but what the driver holds for processes that are gone: skips it on boards that cannot
    tell. That it must be nothing goes for every test where a board can."""
    if session.crashed:
        pytest.skip("the kernel has crashed in this boot: what its driver holds cannot be asked")
    session.held()


@pytest.fixture(autouse=True)
def _only_expected_findings(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that leaves a finding it did not expect has failed, whatever else it checked; so has one after which the
    driver holds something of processes that are gone, and one in which it treated the GPU as no real one may be
    treated. One fixture for all, so that they fail as one."""
    if "session" not in request.fixturenames:
        yield
        return
    booted: Session = request.getfixturevalue("session")
    overlay_tests.require(request.node, _board(request.config, booted.job_description.board), booted)
    booted.begin(suite_name(request.path))
    tells = can_tell(booted)
    start, misuses = booted.finding_count(), len(booted.board.misuses())
    yield
    unexpected = booted.unexpected_since(start)
    if _WORKLOAD in request.node.stash:
        unexpected = []  # iterations judge their own findings
    problems = ["the kernel log has findings this test did not expect:", *unexpected] if unexpected else []
    if wrong := booted.misuses_since(misuses):
        problems += ["real hardware would not bear what the driver did:", *wrong]
    if tells and _WORKLOAD not in request.node.stash and (left := what_is_left(request.node, booted)):
        problems.append(left)
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    job = item.config.stash.get(_JOB, None)
    if job is not None and name_of(item) in job.done_tests:
        pytest.skip("has its result from an earlier boot of this slot")
    if job is None and "session" in getattr(item, "fixturenames", ()) and (why := _unmet(item)):
        pytest.skip(why)
    name = overlay_need.needed_by(item) if job is None and item.config.getoption("--board") else ""
    if name and not overlay_tests.user_gave(item.config, _board(item.config, item.config.getoption("--board")), name):
        pytest.skip(overlay_need.advice(name, 1))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last counted workload of a suite: no fault in the log proves something only if one would be logged, and
    the driver must hold nothing of the clients that were killed."""
    booted = item.config.stash.get(_SESSION, None)
    if booted is None or booted.died is not None or _WORKLOAD not in item.stash:
        return
    counted = item.config.stash[_COUNTED].setdefault(item.path, set())
    counted |= set(item.stash[_WORKLOAD].finds)
    if nextitem is not None and nextitem.path == item.path:
        return
    job = booted.job_description
    end_counted(item, booted, item.config.stash[_EMIT] if job.extra is None else Emitter(None), counted)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """A boot is only as good as what the test before has left. Iterations have their own rules."""
    result = yield
    booted, failed = item.config.stash.get(_SESSION, None), item.stash.get(_FAILED, False)
    if booted is not None and failed and nextitem is not None and _WORKLOAD not in item.stash:
        from panthorlab.run.wornout import wear

        item.session.shouldstop = wear(booted, name_of(item)) or item.session.shouldstop
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    booted = item.config.stash.get(_SESSION, None)
    if (
        _WORKLOAD not in item.stash
        and _JOB in item.config.stash
        and (call.when == "call" or report.outcome != "passed")
    ):
        job = item.config.stash[_JOB]
        if name_of(item) not in job.done_tests and job.extra is None:
            last = booted.repeated.wanted if booted else ""
            item.config.stash[_EMIT](test_event(name_of(item), call, report, last))
    if call.excinfo is not None and report.outcome == "failed":
        item.stash[_FAILED] = True
        item.config.stash[_BLAMED].add(status_of(call.excinfo.value))
    parts = parts_of(call.excinfo.value) if call.excinfo is not None else ()
    if booted is not None and any(isinstance(part, PanthorlabError) for part in parts):
        booted.note_death()
        if booted.died is not None:
            item.session.shouldstop = f"the board is gone: {booted.died}"
    return report  # type: ignore[return-value]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Say how the boot ended, if a board was up, or if none was needed: the boot before died of the last test."""
    config = session.config
    booted, job = config.stash.get(_SESSION, None), config.stash.get(_JOB, None)
    if booted is not None:
        booted.emit_end(complete=exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED))
    elif job is not None and session.items and {name_of(item) for item in session.items} <= {*job.done_tests}:
        config.stash[_EMIT](end_unbooted("no test is left for it"))
    # As everywhere: what the lab did makes the kernel's failures no verdict, and bad input makes them no test.
    blamed = config.stash[_BLAMED]
    if config.getoption("--own-status") and blamed:
        worst = next(status for status in (UsageError.exit_status, LabError.exit_status, *blamed) if status in blamed)
        session.exitstatus = OWN_STATUS + worst
