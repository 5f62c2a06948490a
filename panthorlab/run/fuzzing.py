# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab fuzz`: random scripts of panthor's calls on one kernel until one shows a bug, which is made short."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from panthorlab.board.board import Board
from panthorlab.board.identity import verify_identity
from panthorlab.errors import EvidenceError, UsageError
from panthorlab.fuzz.generate import generate
from panthorlab.fuzz.script import ScriptLine, parse, write
from panthorlab.fuzz.shrink import shrink
from panthorlab.kernel.driver import PANTHOR
from panthorlab.kernel.model import Kernel
from panthorlab.run import fleet
from panthorlab.run.evidence import LogFollower
from panthorlab.run.fuzz import GoodJob, Performed, ScriptRunner
from panthorlab.run.held import Holdings
from panthorlab.run.kernels import notes_of, parse_params, resolve_kernel
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record.log import new_run_dir

TRIES: Final = 8
"""Times that a script is performed until it shows its finding; else it counts as one that alone does not."""
PATIENCE: Final = 300.0
"""Seconds for making a script short; what shows itself seldom may need more, and stays longer than it must."""
SUITE: Final = '''\
# SPDX-License-Identifier: GPL-2.0-or-later
"""Found by `panthorlab fuzz`, seed {seed}: {signature}"""

from __future__ import annotations

{needs}from panthorlab.run.fuzz import must_be_borne
from panthorlab.run.session import Session

{mark}SCRIPT = """\\
{script}"""


def test_script(session: Session) -> None:
    must_be_borne(session, SCRIPT)
'''


@dataclass(frozen=True)
class Found:
    """A script that shows what a right kernel would not have done. `repeats`: also by itself in a fresh boot."""

    seed: str
    signature: str
    text: str
    whole: tuple[ScriptLine, ...]
    script: tuple[ScriptLine, ...]
    repeats: bool


@dataclass
class FuzzTotals:
    """What was tried. `unjudged`: scripts of which nobody can tell."""

    scripts: int = 0
    lines: int = 0
    seconds: float = 0.0
    unjudged: int = 0


class Boots:
    """One board that performs scripts; it is booted anew when one has spoiled it."""

    def __init__(
        self, options: argparse.Namespace, kernel: Kernel, board: Board, run_dir: Path, progress: ProgressDisplay
    ) -> None:
        self._kernel, self._board, self._run_dir, self._progress = kernel, board, run_dir, progress
        self._params = parse_params(options.param) | {"seed": str(options.seed)}
        self._method = options.boot_method
        self._stack, self._boots = ExitStack(), 0
        self._runner: ScriptRunner | None = None
        self.misdeeds: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        self.runner()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    def runner(self) -> ScriptRunner:
        """Of the running boot, or of a new one."""
        if self._runner is None:
            self._boots += 1
            log_dir = self._run_dir / f"boot-{self._boots}"
            log_dir.mkdir()
            board = self._stack.enter_context(
                self._board.boot(
                    self._kernel,
                    log_dir=log_dir,
                    params=self._params,
                    on_progress=self._progress.step,
                    method=self._method,
                )
            )
            log = self._stack.enter_context(LogFollower(board, log_dir / "kmsg.log"))
            verify_identity(board.shell, self._kernel)
            self.misdeeds = board.injections
            self._runner = ScriptRunner(board, log, GoodJob(board, log), Holdings(board))
        return self._runner

    def perform(self, script: tuple[ScriptLine, ...]) -> Performed:
        """What came of it; whatever is bad costs the boot."""
        try:
            done = self.runner().perform(script)
        except BaseException:
            self.spoil()
            raise
        if done.bad:
            self.spoil()
        return done

    def spoil(self) -> None:
        """The next script begins in a fresh boot."""
        self._stack.close()
        self._runner = None


def main(options: argparse.Namespace) -> int:
    """Exit status 0: nothing found in the time; 1: a finding, shown with its script; 3: nothing found, but of some
    scripts nobody can tell; 4: the lab."""
    script = _read(options.script) if options.script else None
    parse_params(options.param)
    board = fleet.choose_one(options)
    progress = ProgressDisplay(quiet=options.quiet)
    run_dir = new_run_dir(options.output)
    kernel = resolve_kernel(options.kernel, log=run_dir / "build.log", progress=progress.step, driver=PANTHOR.name)
    for note in notes_of(kernel):
        progress.note(note)
    totals = FuzzTotals()
    try:
        with (
            board.leased(run_dir, wait=options.wait, on_note=progress.line),
            Boots(options, kernel, board, run_dir, progress) as boots,
        ):
            if script is not None:
                found = _once(boots, script, totals, progress)
            else:
                found = walk(boots, options, totals, progress)
                if found is not None:
                    _keep(run_dir, found, "whole", found.whole)
                    found = _shorten(boots, found, progress)
    finally:
        progress.finish()
    if found is not None:
        _keep(run_dir, found, "finding", found.script)
    _tell(options, kernel, run_dir, found, totals)
    return _status(found, totals)


def _status(found: Found | None, totals: FuzzTotals) -> int:
    if found is not None:
        return 1
    return 3 if totals.unjudged else 0


def _read(path: Path) -> tuple[ScriptLine, ...]:
    try:
        return parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error


def _once(boots: Boots, script: tuple[ScriptLine, ...], totals: FuzzTotals, progress: ProgressDisplay) -> Found | None:
    """The script, until it shows something; what it races with does not repeat, so some times."""
    begin, found = time.monotonic(), None
    while found is None and totals.scripts < TRIES:
        done = _perform(boots, script, "", totals, progress)
        found = next((Found("", name, text, script, script, repeats=True) for name, text in done.bad.items()), None)
    totals.seconds = round(time.monotonic() - begin, 1)
    return found


def _perform(
    boots: Boots, script: tuple[ScriptLine, ...], seed: str, totals: FuzzTotals, progress: ProgressDisplay
) -> Performed:
    """What came of it, counted. What nobody can judge is reported, and counted as such: nothing bad of it was seen."""
    try:
        done = boots.perform(script)
    except EvidenceError as error:
        totals.unjudged += 1
        progress.line(f"script {seed or totals.scripts + 1} could not be judged: {error}")
        done = Performed()
    totals.scripts += 1
    totals.lines += len(script)
    return done


def walk(boots: Boots, options: argparse.Namespace, totals: FuzzTotals, progress: ProgressDisplay) -> Found | None:
    """Scripts from the seed until the time is over, or one finds something."""
    begin = time.monotonic()
    while time.monotonic() - begin < options.seconds:
        seed = f"{options.seed}:{totals.scripts + 1}"
        progress.step(f"fuzzing for {options.seconds:g} s, scripts", totals.scripts)
        script = generate(seed, boots.misdeeds)
        done = _perform(boots, script, seed, totals, progress)
        totals.seconds = round(time.monotonic() - begin, 1)
        for signature, text in done.bad.items():
            progress.line(f"script {seed} after {totals.seconds} s: {text.splitlines()[0]} ({signature})")
            return Found(seed, signature, text, script, script, repeats=False)
    return None


def _shorten(boots: Boots, found: Found, progress: ProgressDisplay) -> Found:
    """The shortest part of the script that shows the same again, each tried in a boot that nothing has spoiled."""
    tried = unjudged = 0

    def shows(part: tuple[ScriptLine, ...]) -> bool:
        nonlocal tried, unjudged
        tried += 1
        progress.step("shrinking, tries", tried)
        try:
            return found.signature in boots.perform(part).bad
        except EvidenceError:  # of this part nobody can tell, so it does not count as one that shows it
            unjudged += 1
            return False

    boots.spoil()
    first = next((number for number in range(1, TRIES + 1) if shows(found.whole)), None)
    if first is None:
        return found
    # What it races with does not repeat: a script that shows it seldom has as many chances.
    chances = 1 if first == 1 else 2 * first

    deadline = time.monotonic() + PATIENCE

    def fails(part: tuple[ScriptLine, ...]) -> bool:
        return any(time.monotonic() < deadline and shows(part) for _ in range(chances))

    script = shrink(found.whole, fails)
    summary = f", of which {unjudged} could not be judged" if unjudged else ""
    progress.line(f"{len(found.whole)} lines are {len(script)} after {tried} tries{summary}")
    if time.monotonic() > deadline:
        progress.note(f"gave up after {PATIENCE:.0f} s: the script may have lines left that it does not need")
    return Found(found.seed, found.signature, found.text, found.whole, script, repeats=True)


def _keep(run_dir: Path, found: Found, name: str, script: tuple[ScriptLine, ...]) -> None:
    head = f"# seed {found.seed}: {found.signature}\n"
    (run_dir / f"{name}.script").write_text(head + write(script), "utf-8")
    if name == "finding":
        swap = any(line.call == "evict" for line in script)  # which does nothing on a kernel that has none
        suite = SUITE.format(
            seed=found.seed,
            signature=found.signature,
            needs="import pytest\n\n" if swap else "",
            mark='pytestmark = pytest.mark.kernel("swap")\n' if swap else "",
            script=write(script),
        )
        (run_dir / "test_found.py").write_text(suite, "utf-8")


def _tell(options: argparse.Namespace, kernel: Kernel, run_dir: Path, found: Found | None, totals: FuzzTotals) -> None:
    summary = f"{totals.scripts} scripts, {totals.lines} calls in {totals.seconds} s"
    summary += f", {totals.unjudged} could not be judged" if totals.unjudged else ""
    settings = [word for param in options.param for word in ("--param", param)]
    repeat = [
        "panthorlab",
        "fuzz",
        "--kernel",
        kernel.key[:16],
        "--seed",
        str(options.seed),
        *settings,
        "--script",
        str(run_dir / "finding.script"),
    ]
    if options.json:
        print(
            json.dumps(
                {
                    "exit": _status(found, totals),
                    **asdict(totals),
                    "seed": options.seed,
                    "kernel": kernel.key,
                    "run": str(run_dir),
                    "finding": found
                    and {
                        "seed": found.seed,
                        "signature": found.signature,
                        "text": found.text,
                        "repeats": found.repeats,
                        "whole": [str(line) for line in found.whole],
                        "script": [str(line) for line in found.script],
                        "repeat": repeat,
                    },
                },
                indent=1,
            )
        )
        return
    if found is None:
        print(f"nothing found: {summary}, seed {options.seed}")
    else:
        print(
            f"found {found.signature}\n{found.text}\n\n{summary}; script {found.seed or options.script}"
            f"{'' if found.repeats else ', which did not show it again by itself'}:\n\n{write(found.script)}\n"
            f"again: {shlex.join(repeat)}\n"
            f"as a suite: panthorlab run --kernel {kernel.key[:16]} --suite {run_dir / 'test_found.py'}"
        )
    print(f"run: {shlex.quote(str(run_dir))}", file=sys.stderr)
