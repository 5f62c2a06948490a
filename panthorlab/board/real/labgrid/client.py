# SPDX-License-Identifier: GPL-2.0-or-later
"""`labgrid-client` at work for one identity.

labgrid's command line is its stable interface; its Python modules are not, and in our interpreter they would shadow
pyserial and hook into pytest.
"""

from __future__ import annotations

import difflib
import getpass
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from panthorlab import spawn
from panthorlab.board.real.file import Labgrid
from panthorlab.board.real.labgrid.place import Place, parse_show
from panthorlab.errors import LabError

PROGRAM: Final = "labgrid-client"
DEFAULT_COORDINATOR: Final = "127.0.0.1:20408"
CALL_TIMEOUT: Final = 60.0  # one command; the coordinator waits 10 s for each resource's exporter
# Environment variables that change the meaning of labgrid-client's arguments.
_UNWANTED: Final = frozenset({"LG_ENV", "LG_PLACE", "PLACE", "LG_STATE", "STATE", "LG_INITIAL_STATE", "LG_TOKEN"})


@dataclass(frozen=True)
class Client:
    """Calls of `labgrid-client` under one identity."""

    program: str
    coordinator: str
    host: str
    user: str

    @classmethod
    def new(cls, section: Labgrid, owner: str) -> Self:
        """With a new, unique identity. Raises LabError if there is no labgrid-client."""
        if proxy := os.environ.get("LG_PROXY"):
            raise LabError(
                f"$LG_PROXY is set: panthorlab cannot reach consoles and switches through {proxy}",
                hint=f"run panthorlab on {proxy}, without $LG_PROXY",
            )
        host = os.environ.get("LG_HOSTNAME") or socket.gethostname()
        user = os.environ.get("LG_USERNAME") or getpass.getuser()
        who = re.sub(r"[^A-Za-z0-9_.@+-]+", "-", f"{user}+{owner}")[:100]
        coordinator = section.coordinator or os.environ.get("LG_COORDINATOR") or DEFAULT_COORDINATOR
        return cls(find_program(), coordinator, host.replace("/", "-"), f"{who}+{secrets.token_hex(4)}")

    @property
    def identity(self) -> str:
        return f"{self.host}/{self.user}"

    def control(self, place: str) -> list[str]:
        """argv of a labgrid-client that may use the place, without the command; for other processes."""
        scrub = [word for name in sorted(_UNWANTED) for word in ("-u", name)]
        identity = [f"LG_HOSTNAME={self.host}", f"LG_USERNAME={self.user}"]
        return ["env", *scrub, *identity, self.program, "-x", self.coordinator, "-p", place]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end. Raises LabError if the coordinator or the program does not answer."""
        argv = [self.program, "-x", self.coordinator, *arguments]
        env = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
        env |= {"LG_HOSTNAME": self.host, "LG_USERNAME": self.user}
        done = _run(argv, env, what=f"labgrid coordinator {self.coordinator}: `{' '.join(arguments)}`")
        if done.returncode and "oordinator is unavailable" in done.stderr:
            raise LabError(
                f"the labgrid coordinator {self.coordinator} does not answer: {last_line(done.stderr)}",
                hint="is it running? `coordinator:` of the board file or $LG_COORDINATOR says where",
            )
        return done

    def show(self, place: str) -> Place:
        """The place. Raises LabError, with similar names, if there is none."""
        done = self.call("-p", place, "show")
        if done.returncode:
            if "matches nothing" in done.stderr or "matches multiple" in done.stderr:
                raise self.unknown(place)
            raise LabError(f"labgrid does not show place {place}: {last_line(done.stderr)}")
        try:
            return parse_show(done.stdout)
        except ValueError as error:
            raise LabError(
                f"labgrid's description of place {place} cannot be read: {error}",
                hint=f"which labgrid is it? `{self.program} version`; 24.0 or newer is needed",
            ) from error

    def places(self) -> list[str]:
        """The names of all places."""
        return [line.split()[0] for line in self.call("places").stdout.splitlines() if line.strip()]

    def unknown(self, place: str) -> LabError:
        """The error for a place that does not exist, with similar names."""
        places = self.places()
        near = difflib.get_close_matches(place, places, n=3) or [name for name in places if place in name][:3]
        known = (
            f"did you mean {' or '.join(f'`{name}`' for name in near)}?"
            if near
            else f"there are: {', '.join(places[:20])}"
            if places
            else "it has no places at all"
        )
        return LabError(f"the labgrid coordinator {self.coordinator} has no place `{place}`", hint=known)

    def release(self, place: str, progress: Callable[[str], None]) -> bool:
        """Release the place; returns whether it is certainly released. Failures are only reported, so that they do not
        hide the run's results."""
        try:
            done = self.call("-p", place, "release-from", self.identity)
            if done.returncode == 0:
                return True
            why = last_line(done.stderr)
            if "is not acquired" in why or "matches nothing" in why:
                return True
        except LabError as error:
            why = str(error)
        progress(
            f"labgrid place {place} could not be released and stays acquired by {self.identity}: {why}; "
            "the next start tries again"
        )
        return False


def _run(argv: list[str], env: Mapping[str, str], *, what: str) -> subprocess.CompletedProcess[str]:
    """Run in a session of its own: Ctrl-C must reach only us, as we then release the place."""
    process = spawn.spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    try:
        out, err = process.communicate(timeout=CALL_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise LabError(
            f"{what}: no answer within {CALL_TIMEOUT:.0f} s",
            hint="is the coordinator overloaded, or its address blocked?",
        ) from None
    finally:
        spawn.end(process, gently=0)
    return subprocess.CompletedProcess(
        argv, process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    )


def find_program() -> str:
    """labgrid-client: in `$PANTHORLAB_LABGRID` (the program or its virtual environment), beside us, or on PATH."""
    if named := os.environ.get("PANTHORLAB_LABGRID"):
        path = Path(named)
        path = path / "bin" / PROGRAM if path.is_dir() else path
        if not os.access(path, os.X_OK):
            raise LabError(
                f"$PANTHORLAB_LABGRID: there is no program {path}",
                hint="name labgrid-client, or the virtual environment that labgrid is installed in",
            )
        return str(path)
    beside = Path(sys.executable).parent / PROGRAM
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(PROGRAM)
    if found is None:
        raise LabError(
            "the board is a labgrid place, and there is no labgrid-client",
            hint="pipx install labgrid; or name a virtual environment with it in $PANTHORLAB_LABGRID",
        )
    return found


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"
