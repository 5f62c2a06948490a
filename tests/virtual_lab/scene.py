# SPDX-License-Identifier: GPL-2.0-or-later
"""One panthorlab run against the virtual lab while something goes wrong: what it did, and what it left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import paramiko
import yaml

from panthorlab.outcome import Blame, Outcome
from panthorlab.paths import PACKAGE
from panthorlab.run.record import BootEnd, Event, Iteration, Quota, Tested
from panthorlab.run.record.log import DamagedLogError, read_events
from tests.virtual_lab.control import LabClient

E = TypeVar("E", bound=Event)

BOARD: Final = "virtual-rk"
LIMIT: Final = 1500.0
"""Seconds that a run, or a condition that a fault waits for, may take."""
_SSH_TIME: Final = 20.0


class SceneError(Exception):
    """The fault could not be brought about: nothing is proved."""


@dataclass
class Scene:
    """`folder`: of this fault, new. `boards`: the ones of the run. `kernels`: store keys by the name of their patch."""

    lab: LabClient
    folder: Path
    kernels: Mapping[str, str]
    boards: Sequence[str] = (BOARD,)
    process: subprocess.Popen[bytes] | None = None
    output: str = "panthorlab"
    notes: list[str] = field(default_factory=list)

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    @property
    def programs(self) -> Path:
        """Where panthorlab finds programs before those of the machine."""
        return self.folder / "bin"

    @property
    def board(self) -> str:
        return self.boards[0]

    def facts(self) -> dict[str, Any]:
        return self.lab.board(self.board)

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.process is not None and self.process.poll() is not None

    # -- the run ------------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """panthorlab finds the lab's boards, the edited files first."""
        places = os.pathsep.join(map(str, (self.lab.folder, self.folder)))
        return {
            **os.environ,
            "PANTHORLAB_PATH": places,
            "PANTHORLAB_LAB": str(self.lab.folder / "state"),
            "PYTHONPATH": str(PACKAGE.parent),
            "PATH": os.pathsep.join((str(self.programs), os.environ["PATH"])),
        }

    def start(self, *arguments: str, name: str = "panthorlab", mute: bool = False) -> subprocess.Popen[bytes]:
        """`panthorlab ARGUMENT…`, its output in `folder/NAME.out` and `.err`. `mute`: stderr is a full device."""
        argv = [sys.executable, "-m", "panthorlab", *arguments, "--json"]
        errors = self.folder / f"{name}.err"
        errors.touch()
        with (self.folder / f"{name}.out").open("wb") as out, (Path("/dev/full") if mute else errors).open("wb") as err:
            return subprocess.Popen(
                argv,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.folder,
                start_new_session=True,
            )

    def write_board_files(self, edits: Sequence[Callable[[dict[str, Any], Scene], None]]) -> None:
        """The boards' files with a fault's edits, where they are found before the lab's own."""
        folder = self.folder / "board_configs"
        folder.mkdir()
        for name in self.boards:
            data = yaml.safe_load(Path(self.lab.board(name)["file"]).read_text())
            for edit in edits:
                edit(data, self)
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False))

    def resume(self) -> None:
        """Go on with a run that has ended, in whatever way."""
        self.output = "resumed"
        self.process = self.start("resume", str(self.run_dir), name=self.output)

    def said(self, name: str = "") -> str:
        """What a command said for people; the run's if none is named."""
        return (self.folder / f"{name or self.output}.err").read_text(errors="replace")

    def result(self, name: str = "") -> Any:
        """The JSON of a command; None if it gave none."""
        file = self.folder / f"{name or self.output}.out"
        text = file.read_text(errors="replace") if file.exists() else ""
        return json.loads(text) if text.strip() else None

    def events(self, kind: type[E]) -> list[E]:
        """Of the run so far, those of this kind."""
        if not (self.run_dir / "events.jsonl").exists():
            return []
        try:
            events = read_events(self.run_dir)
        except DamagedLogError as error:
            events = error.readable
        return [event for event in events if isinstance(event, kind)]

    def until(self, condition: Callable[[], object], what: str, *, after_end: bool = False) -> None:
        """Raises SceneError at the deadline, or when the run ends before."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            if self.over and not after_end:
                if condition():
                    return
                raise SceneError(f"the run ended before {what}")
            if time.monotonic() > deadline:
                raise SceneError(f"waited {LIMIT:g} s for {what}")
            time.sleep(0.02)

    def until_iterating(self, count: int = 5) -> None:
        self.until(lambda: len(self.events(Iteration)) >= count, f"{count} iterations")

    def until_failed_boot(self) -> None:
        self.until(lambda: self.events(BootEnd), "a boot has ended")

    def until_console(self, pattern: bytes, *, boot: int = 1) -> None:
        """The console log of the `boot`-th boot has the regular expression."""

        def found() -> bool:
            logs = sorted((self.run_dir / "boots").glob("*/console.log"), key=lambda path: path.stat().st_ctime)
            return len(logs) >= boot and re.search(pattern, logs[boot - 1].read_bytes()) is not None

        self.until(found, f"the console shows {pattern!r}")

    def until_file(self, pattern: str) -> Path:
        """A file has come to be in the TFTP directory."""
        found: list[Path] = []

        def look() -> bool:
            found[:] = (self.lab.folder / "tftp" / "panthorlab" / self.board).glob(pattern)
            return bool(found)

        self.until(look, f"{pattern} is in the TFTP directory")
        return found[0]

    # -- the board ----------------------------------------------------------------------------------------------

    def on_board(self, script: str, *, timeout: float = 120) -> str:
        """Run a shell script on whatever runs on the board, by a connection of its own. Raises SceneError."""
        facts = self.facts()
        client = paramiko.SSHClient()
        kind, _, key = facts["host_key"].partition(" ")
        host = f"[127.0.0.1]:{facts['ssh_port']}"
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{host} {kind} {key}")
        if entry is None or entry.key is None:
            raise SceneError("the lab tells no host key")
        client.get_host_keys().add(host, kind, entry.key)
        deadline = time.monotonic() + timeout
        try:
            while True:
                try:
                    client.connect(
                        "127.0.0.1",
                        facts["ssh_port"],
                        "root",
                        key_filename=facts["key_file"],
                        timeout=_SSH_TIME,
                        banner_timeout=_SSH_TIME,
                        auth_timeout=_SSH_TIME,
                        look_for_keys=False,
                        allow_agent=False,
                    )
                    break
                except (OSError, EOFError, paramiko.SSHException) as error:
                    if time.monotonic() > deadline:
                        raise SceneError(f"{self.board} cannot be reached: {error}") from error
                    time.sleep(0.5)
            _, stdout, stderr = client.exec_command(script, timeout=timeout)
            output = stdout.read().decode("utf-8", "replace")
            if status := stdout.channel.recv_exit_status():
                raise SceneError(f"on {self.board}: status {status}: {stderr.read().decode('utf-8', 'replace')}")
            return output
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise SceneError(f"on {self.board}: {error}") from error
        finally:
            client.close()

    def switch_on(self) -> None:
        """Until the board runs its known-good system."""
        self.lab.order("power", board=self.board, on=True)
        with suppress(SceneError):
            if self._runs_known_good():
                return
        self.restart()

    def restart(self) -> None:
        """As a person would whom it does not answer. Raises SceneError if the known-good system does not come up."""
        self.lab.order("power", board=self.board, on=False)
        self.lab.order("power", board=self.board, on=True)
        if not self._runs_known_good():
            raise SceneError(f"{self.board} does not run its known-good system")

    def _runs_known_good(self) -> bool:
        return bool(self.on_board("grep -w virtual_lab.known_good /proc/cmdline || true").strip())


def leftovers(scene: Scene) -> list[str]:
    """What must not be there when a run has ended: leases, boards that are off, files, processes."""
    found = []
    for name in scene.boards:
        record = scene.lab.folder / "state" / f"{name}.json"
        if record.exists() and (lease := json.loads(record.read_text()).get("lease")):
            found.append(f"{name} is left leased: {lease}")
        if not scene.lab.order("state", board=name)["power"]:
            found.append(f"{name} is left off")
        found += [f"{path} is left" for path in (scene.lab.folder / "tftp" / "panthorlab" / name).glob("*/*")]
    found += [f"process {pid} is left: {line}" for pid, line in processes(scene.folder)]
    return found


def processes(folder: Path) -> list[tuple[int, str]]:
    """What runs in `folder`, or with it on its command line: pid and command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                line = (entry / "cmdline").read_text().replace("\0", " ")
                if str(folder) in line or str((entry / "cwd").readlink()).startswith(str(folder)):
                    found.append((int(entry.name), line))
    return found


def quarantined(lab: LabClient, name: str) -> str | None:
    """Why a board is quarantined."""
    record = lab.folder / "state" / f"{name}.json"
    told = json.loads(record.read_text()).get("quarantine") if record.exists() else None
    return str(told["reason"]) if told else None


def unsound(events: Sequence[Event]) -> list[str]:
    """What no fault may do to a run's record: an iteration counted twice, a pass without whole evidence."""
    iterations = [event for event in events if isinstance(event, Iteration)]
    twice = [identity for identity, count in Counter(one.id for one in iterations).items() if count > 1]
    found = [f"iterations counted twice: {twice}"] if twice else []
    planned, judged = _planned(events), _judged(events)
    found += [
        f"{slot} {workload}: {judged[slot, workload]} of {count} iterations"
        for (slot, workload), count in planned.items()
        if judged[slot, workload] > count
    ]
    return found


def complete(events: Sequence[Event]) -> list[str]:
    """What is missing of a run that says it is well: iterations that were planned and never judged."""
    planned, judged = _planned(events), _judged(events)
    return [
        f"{slot} {workload}: only {judged[slot, workload]} of {count} iterations"
        for (slot, workload), count in planned.items()
        if judged[slot, workload] < count
    ]


def _planned(events: Sequence[Event]) -> dict[tuple[str, str], int]:
    return {(event.slot, event.workload): event.planned for event in events if isinstance(event, Quota)}


def _judged(events: Sequence[Event]) -> Counter[tuple[str, str]]:
    return Counter(
        (event.slot, event.workload)
        for event in events
        if isinstance(event, Iteration) and event.outcome is not Outcome.ERROR
    )


def blamed(events: Sequence[Event], blame: Blame) -> list[str]:
    """Everything of a run that is blamed on `blame`, in words."""
    return [
        f"{_name(event)}: {_why(event)}"
        for event in events
        if isinstance(event, Iteration | Tested | BootEnd)
        and event.outcome is not Outcome.PASS
        and event.blame is blame
    ]


def _name(event: Iteration | Tested | BootEnd) -> str:
    return event.id if isinstance(event, Iteration) else event.test if isinstance(event, Tested) else event.boot


def _why(event: Iteration | Tested | BootEnd) -> str:
    return (event.reason if isinstance(event, BootEnd) else event.message) or event.outcome
