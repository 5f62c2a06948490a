# SPDX-License-Identifier: GPL-2.0-or-later
"""Boards that a labgrid coordinator hands out: acquire a place, use its resources, and give it back whatever happens.

`labgrid-client` does the talking. Its commands are labgrid's contract with its users, its Python modules are not, and
inside our interpreter they would shadow pyserial and hook into pytest.

Each acquisition has an identity of its own (HOST/USER+OWNER+NONCE), so that `release-from` frees what that controller
held and nothing else, even while the same user runs another. A record of it is on disk before labgrid hears of it,
locked for as long as its controller lives: what is left unlocked is released by the next start. By the record, the
workers of a run find the place that their controller holds for all of them.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import getpass
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Self

from panthorlab import spawn
from panthorlab.board.lab.lease import run_token
from panthorlab.board.lab.place import share
from panthorlab.board.real.file import Labgrid
from panthorlab.board.real.labgrid.place import CONSOLES, Place, PlaceResources, parse_show, translate
from panthorlab.errors import LabError

PROGRAM: Final = "labgrid-client"
DEFAULT_COORDINATOR: Final = "127.0.0.1:20408"
CALL_TIMEOUT: Final = 60.0  # one command; the coordinator waits 10 s for each resource's exporter
RECORD: Final = ".labgrid"  # suffix of records in the lab directory
POLL: Final = 3.0  # between two looks at a place that somebody else has
# What would have labgrid-client do something else than it is told.
_UNWANTED: Final = frozenset({"LG_ENV", "LG_PLACE", "PLACE", "LG_STATE", "STATE", "LG_INITIAL_STATE", "LG_TOKEN"})

Progress = Callable[[str], None]


@contextlib.contextmanager
def acquire(
    section: Labgrid,
    *,
    owner: str,
    lab_dir: Path,
    timeout: float,
    progress: Progress,
    stop: threading.Event | None = None,
) -> Iterator[PlaceResources]:
    """The place's resources, for as long as the context lasts. Nothing is acquired if this run has the place already.

    `owner`: what `labgrid-client who` shows beside the user's name. `timeout`: seconds to wait while somebody else has
    the place, unless `stop` is set before. Places whose controllers died are given back first. Raises LabError: no
    labgrid-client, no coordinator, no such place, still held by another, resources missing.
    """
    release_stale(lab_dir, progress)
    client = _Client.new(section, owner)
    place = client.show(section.place)
    _exactly(section.place, place, client)
    if held := _held_by_run(client, place.name, lab_dir):
        yield translate(_started(held, place.name), held.control(place.name))
        return
    with _recorded(client, place.name, lab_dir) as forget:
        try:
            _take(client, place, timeout, progress, stop or threading.Event())
            yield translate(_started(client, place.name), client.control(place.name))
        finally:
            if _release(client, place.name, progress):
                forget()


def release_stale(lab_dir: Path, progress: Progress) -> None:
    """Give back the places whose controllers died. What cannot be released now is said, and tried by the next start."""
    for file in sorted(lab_dir.glob(f"*{RECORD}")):
        try:
            fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            progress(f"labgrid: {file}: {error.strerror}; if a controller died, its place is still held")
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_nlink:
                _release_recorded(file, progress)
        except BlockingIOError:
            continue  # its controller lives
        finally:
            os.close(fd)


def _release_recorded(file: Path, progress: Progress) -> None:
    try:
        record = json.loads(file.read_bytes())
        client = _Client(_program(), str(record["coordinator"]), str(record["host"]), str(record["user"]))
        place, pid = str(record["place"]), int(record["pid"])
    except (ValueError, KeyError, TypeError) as error:
        progress(f"labgrid: {file} is unreadable ({error!r}); see `labgrid-client who`, then delete it")
        return
    except LabError as error:
        progress(f"labgrid: a place is still held by a controller that died: {error} ({error.hint})")
        return
    if _release(client, place, progress):
        file.unlink()
        progress(f"labgrid: released place {place}, which a controller that died (process {pid}) still held")


@dataclass(frozen=True)
class _Client:
    """`labgrid-client` at work for one identity."""

    program: str
    coordinator: str
    host: str
    user: str

    @classmethod
    def new(cls, section: Labgrid, owner: str) -> Self:
        """With an identity that nobody has had before. Raises LabError if there is no labgrid-client."""
        if proxy := os.environ.get("LG_PROXY"):
            raise LabError(
                f"$LG_PROXY is set: panthorlab cannot reach consoles and switches through {proxy}",
                hint=f"run panthorlab on {proxy}, without $LG_PROXY",
            )
        host = os.environ.get("LG_HOSTNAME") or socket.gethostname()
        user = os.environ.get("LG_USERNAME") or getpass.getuser()
        who = re.sub(r"[^A-Za-z0-9_.@+-]+", "-", f"{user}+{owner}")[:100]
        coordinator = section.coordinator or os.environ.get("LG_COORDINATOR") or DEFAULT_COORDINATOR
        return cls(_program(), coordinator, host.replace("/", "-"), f"{who}+{secrets.token_hex(4)}")

    @property
    def identity(self) -> str:
        return f"{self.host}/{self.user}"

    def control(self, place: str) -> list[str]:
        """argv, without command, of a labgrid-client that may use the place; for other processes."""
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
                f"the labgrid coordinator {self.coordinator} does not answer: {_last_line(done.stderr)}",
                hint="is it running? `coordinator:` of the board file or $LG_COORDINATOR says where",
            )
        return done

    def show(self, place: str) -> Place:
        """Raises LabError if there is no such place, with names that are near."""
        done = self.call("-p", place, "show")
        if done.returncode:
            if "matches nothing" in done.stderr or "matches multiple" in done.stderr:
                raise _unknown(place, self)
            raise LabError(f"labgrid does not show place {place}: {_last_line(done.stderr)}")
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


def _run(argv: list[str], env: Mapping[str, str], *, what: str) -> subprocess.CompletedProcess[str]:
    """In a session of its own: Ctrl-C is for us, who then release the place."""
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


def _program() -> str:
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


def _exactly(wanted: str, place: Place, client: _Client) -> None:
    """labgrid takes parts of names, too; a board file that grabs another board with the next lab change is none."""
    if wanted != place.name and wanted not in {alias.rpartition(":")[2] for alias in place.aliases}:
        raise _unknown(wanted, client)


def _unknown(wanted: str, client: _Client) -> LabError:
    places = client.places()
    near = difflib.get_close_matches(wanted, places, n=3) or [name for name in places if wanted in name][:3]
    known = (
        f"did you mean {' or '.join(f'`{name}`' for name in near)}?"
        if near
        else f"there are: {', '.join(places[:20])}"
        if places
        else "it has no places at all"
    )
    return LabError(f"the labgrid coordinator {client.coordinator} has no place `{wanted}`", hint=known)


def _take(client: _Client, place: Place, timeout: float, progress: Progress, stop: threading.Event) -> None:
    """Acquire the place, waiting for whoever has it. `place`: as just seen. Raises LabError."""
    deadline = time.monotonic() + timeout
    name, told = place.name, ""
    while True:
        why = f"acquired by {place.holder}"
        if place.holder is None:
            done = client.call("-p", name, "acquire")
            place = client.show(name) if done.returncode else place
            if done.returncode == 0 or place.holder == client.identity:
                return
            why = _busy(done, place)
        if time.monotonic() >= deadline:
            raise LabError(
                f"labgrid place {name} was not to be had within {timeout:.0f} s: it is {why}",
                hint=f"ask them, or: labgrid-client -p {name} release --kick",
            )
        if why != told:
            progress(f"waiting for labgrid place {name}: it is {why}")
            told = why
        if stop.wait(min(POLL, max(0.0, deadline - time.monotonic()))):
            raise LabError(f"interrupted while waiting for labgrid place {name}: it is {why}")
        place = client.show(name)


def _busy(done: subprocess.CompletedProcess[str], place: Place) -> str:
    """Who was faster. Raises LabError if the place was refused for another reason, for which waiting is no cure."""
    if place.holder is not None:
        return f"acquired by {place.holder}"
    if place.reservation and "not reserved for" in done.stderr:
        return f"reserved for another (reservation {place.reservation})"
    if "already acquired by place" in done.stdout:
        return f"without its resources: {_last_line(done.stdout)}"
    hint = "`labgrid-client resources` and the exporter's log say more"
    if "has no matching remote resource" in done.stderr:
        hint = "its exporter is not connected, or exports it under another name: `labgrid-client resources`"
    raise LabError(f"labgrid refuses the place: {_last_line(done.stderr)}", hint=hint)


def _started(client: _Client, name: str) -> Place:
    """The acquired place once its exporters serve its consoles, which they begin to do when it is acquired."""
    deadline = time.monotonic() + CALL_TIMEOUT
    while True:
        place = client.show(name)
        if place.holder != client.identity:
            raise LabError(
                f"labgrid place {name} was taken from us: it is "
                + (f"acquired by {place.holder}" if place.holder else "released"),
                hint="what ran on the board since then does not count; resume the run when it is free",
            )
        idle = [item for item in place.resources if item.cls in CONSOLES and item.params.get("port") is None]
        if not idle or place.orphans or not all(item.available for item in idle):
            return place  # complete; or it cannot become so, which `translate` says
        if time.monotonic() >= deadline:
            raise LabError(
                f"labgrid place {name} was acquired, but its exporter does not serve {idle[0]}",
                hint="is ser2net installed on the exporter's machine? its log says more",
            )


def _release(client: _Client, name: str, progress: Progress) -> bool:
    """Whether the place is certainly not ours any more. A failure is told: it must not hide what the run found."""
    try:
        done = client.call("-p", name, "release-from", client.identity)
        if done.returncode == 0:
            return True
        why = _last_line(done.stderr)
        if "is not acquired" in why or "matches nothing" in why:
            return True
    except LabError as error:
        why = str(error)
    progress(
        f"labgrid place {name} could not be released and stays acquired by {client.identity}: {why}; "
        "the next start tries again"
    )
    return False


@contextlib.contextmanager
def _recorded(client: _Client, place: str, lab_dir: Path) -> Iterator[Callable[[], None]]:
    """The record of an acquisition, locked while this process lives; gives the function that deletes it."""
    file = lab_dir / f"{secrets.token_hex(8)}{RECORD}"
    new = file.with_suffix(".new")
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # before `release_stale` can see it
        share(fd, lab_dir)
        fields = {key: value for key, value in asdict(client).items() if key != "program"}
        os.write(fd, json.dumps({"place": place, "pid": os.getpid(), "run": run_token(), **fields}).encode())
        os.fsync(fd)
        new.rename(file)
        yield file.unlink
    finally:
        os.close(fd)


def _held_by_run(client: _Client, place: str, lab_dir: Path) -> _Client | None:
    """The identity under which this run has the place; None if it has not. What is recorded and not locked is nobody's:
    `release_stale` has been here."""
    for file in lab_dir.glob(f"*{RECORD}"):
        try:
            record = json.loads(file.read_bytes())
            if (record["run"], record["place"], record["coordinator"]) == (run_token(), place, client.coordinator):
                return replace(client, host=str(record["host"]), user=str(record["user"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # gone, another user's, or unreadable, which `release_stale` tells
    return None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"
