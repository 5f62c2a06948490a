# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong in a lab: what panthorlab must make of it, and whether it did. The faults are in faults.py.

A fault of the kernel is one of the *after* kernel alone, and must make it `regressed`. A fault of the lab may end a run
with a lab error, or, after another attempt, leave no trace in the result; never may it be blamed on the kernel.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from panthorlab.errors import LabError
from panthorlab.kernel.job import build_side, prepare_kernel
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.record import BootEnd, Event
from tests.virtual_lab.command import FRAGMENTS
from tests.virtual_lab.control import LabClient
from tests.virtual_lab.machine_faults import own_patch
from tests.virtual_lab.scene import LIMIT, Scene, SceneError, blamed, complete, leftovers, quarantined, unsound

PATCHES: Final = Path(__file__).parents[1] / "e2e" / "patches"
SUITE: Final = ("--suite", "heap-exit-claim", "--boots", "1")
GOOD: Final = "unrelated"
"""A patch that changes the driver and breaks nothing; "" is the base without a patch."""
Edit = Callable[[dict[str, Any], Scene], None]


@dataclass(frozen=True)
class Expected:
    """What must come out. `exits`: one of them. `says`: words that the record or the output has, of the cause. `keeps`:
    files of a boot, and words in them. `quarantined`: boards that must be. `attempts`: so many boots must have failed
    by the lab, at least."""

    exits: tuple[int, ...]
    blame: Blame | None = None
    verdict: str | None = None
    says: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    attempts: int = 0
    keeps: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """For people."""
        what = self.verdict or " or ".join(
            {0: "as undisturbed", 1: "failed", 4: "lab error"}[exit_] for exit_ in self.exits
        )
        return what + (f", blamed on the {self.blame.value}" if self.blame else "")


def says(expected: Expected, *words: str) -> Expected:
    return replace(expected, says=(*expected.says, *words))


@dataclass(frozen=True)
class Fault:
    """`how`: for people. `prepare`: before the run is started; `inject`: while it runs, in the caller's thread, and
    `undo` when it has ended. `after`: the patch of the after kernel; None for a run of the base kernel alone.
    `builds`: the run builds the kernel of a patch of its own. `mute`: whatever the run says for people fails to be
    written."""

    name: str
    how: str
    expected: Expected
    inject: Callable[[Scene], None] = lambda _scene: None
    prepare: Callable[[Scene], None] = lambda _scene: None
    undo: Callable[[Scene], None] = lambda _scene: None
    after: str | None = None
    iterations: int = 8
    method: str = "auto"
    edits: Sequence[Edit] = ()
    boards: int = 1
    quick: bool = False
    builds: bool = False
    mute: bool = False

    def command(self, scene: Scene) -> list[str]:
        boards = [word for name in scene.boards for word in ("--board", name)]
        common = [
            *boards,
            *SUITE,
            "--iterations",
            str(self.iterations),
            "--boot-method",
            self.method,
            "--output",
            str(scene.run_dir),
        ]
        if self.builds:
            return ["validate", str(own_patch(scene)), "--expect", "no-change", *common]
        if self.after is None:
            return ["run", "--kernel", scene.kernels[""], *common]
        return [
            "validate",
            "--before",
            scene.kernels[""],
            "--after",
            scene.kernels[self.after],
            "--expect",
            "no-change",
            *common,
        ]


@dataclass(frozen=True)
class Result:
    """`happened`: in words. `problems`: what is not as expected; empty if all is well."""

    fault: Fault
    happened: str
    problems: Sequence[str]
    seconds: float
    folder: Path


def build(faults: Iterable[Fault], folder: Path) -> dict[str, str]:
    """Store keys of the kernels that these faults need, by the name of their patch; "" is the base, which all need.
    Logs go to `folder`. Raises PanthorlabError."""
    names = dict.fromkeys(["", *(fault.after for fault in faults if fault.after is not None)])
    keys = {}
    for name in names:
        plan = prepare_kernel(None, [str(PATCHES / f"{name}.patch")] if name else [], fragments=FRAGMENTS)
        keys[name] = build_side(plan, log=folder / "build.log", progress=lambda *_text: None).key
    return keys


def settle(lab: LabClient) -> None:
    """Everything well, nothing leased or quarantined; boards keep what they run."""
    lab.heal()
    for name in lab.facts["boards"]:
        (lab.folder / "state" / f"{name}.json").unlink(missing_ok=True)


def play(fault: Fault, lab: LabClient, folder: Path, kernels: Mapping[str, str]) -> Result:
    """Bring the fault about during a run, and judge what the run made of it. Raises LabError if it cannot be undone."""
    folder.mkdir(parents=True)
    settle(lab)
    boards = list(lab.facts["boards"])[: fault.boards]
    scene = Scene(lab, folder, kernels, boards)
    scene.write_board_files(fault.edits)
    began = time.monotonic()
    status: int | None = None
    try:
        fault.prepare(scene)
        status = _run(fault, scene)
        problems = _judge(fault, scene, status)
    except SceneError as error:
        problems = [f"not tried: {error}"]
    finally:
        _end(scene)
        _undo(fault, scene)
    return Result(fault, _happened(scene, status), problems, time.monotonic() - began, folder)


def _run(fault: Fault, scene: Scene) -> int:
    scene.process = scene.start(*fault.command(scene), mute=fault.mute)
    fault.inject(scene)
    try:
        return scene.process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        raise SceneError(f"the run did not end within {LIMIT:g} s") from None


def _undo(fault: Fault, scene: Scene) -> None:
    """What cannot be undone here would be taken for the next fault's doing."""
    scene.lab.heal()
    try:
        fault.undo(scene)
    except SceneError as error:
        raise LabError(f"{fault.name} cannot be undone: {error}", hint="start the campaign with a new lab") from error


def _end(scene: Scene) -> None:
    """A run that is out of its time."""
    if scene.process is not None and not scene.over:
        os.killpg(scene.process.pid, signal.SIGKILL)
        scene.process.wait()


def _judge(fault: Fault, scene: Scene, status: int) -> list[str]:
    events, expected = scene.events(Event), fault.expected
    told = scene.said() + "\n".join(str(event) for event in events) + str(scene.result())
    problems = [*unsound(events), *leftovers(scene)]
    if status not in expected.exits:
        problems.append(f"exit status {status}")
    verdict = (scene.result() or {}).get("verdict")
    if expected.verdict is not None and verdict != expected.verdict:
        problems.append(f"verdict {verdict}")
    if status in (0, 3):
        problems += complete(events)
    if expected.blame is not Blame.KERNEL:
        problems += [f"blamed on the kernel: {what}" for what in blamed(events, Blame.KERNEL)]
    elif not blamed(events, Blame.KERNEL):
        problems.append("nothing is blamed on the kernel")
    if expected.blame is Blame.LAB and status != 0 and not (blamed(events, Blame.LAB) or "panthorlab:" in told):
        problems.append("nothing is blamed on the lab")
    if len([event for event in events if isinstance(event, BootEnd) and event.blame is Blame.LAB]) < expected.attempts:
        problems.append("no boot failed by the lab")
    problems += [f"does not say `{words}`" for words in expected.says if words not in told]
    for file, words in expected.keeps:
        kept = [path.read_text(errors="replace") for path in scene.run_dir.glob(f"boots/*/{file}")]
        problems += [] if any(words in text for text in kept) else [f"no {file} has `{words}`"]
    for name in scene.boards:
        why = quarantined(scene.lab, name)
        if (name in expected.quarantined) != (why is not None):
            problems.append(f"{name} is {'not ' if why is None else ''}quarantined" + (f": {why}" if why else ""))
    return problems


def _happened(scene: Scene, status: int | None) -> str:
    boots = scene.events(BootEnd)
    bad = [end for end in boots if end.outcome is not Outcome.PASS]
    verdict = (scene.result() or {}).get("verdict")
    first = str(bad[0].reason).splitlines()[0] if bad else ""
    parts = [verdict or f"exit {status}", f"{len(boots)} boots, {len(bad)} failed" + (f": {first}" if first else "")]
    return "; ".join([*parts, *scene.notes])
