# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of the virtual lab. The lab is one process; when it ends, however it ends, nothing of it is left."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from panthorlab import spawn
from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.kernel.find import find_kernel
from panthorlab.kernel.job import build_side, prepare_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.paths import PACKAGE, cache_dir
from panthorlab.run.progress import ProgressDisplay
from tests.virtual_lab.control import Control, LabClient
from tests.virtual_lab.lab import Lab, dump

FRAGMENTS = ("panthor", "qemu-virt", "panthor-module", "virtual-rk")
"""Of the known-good kernel, and by the board file of every kernel under test."""
_READY = b"ready\n"
_STOP_TIMEOUT = 60.0


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    folder: Path = (options.lab or cache_dir("virtual-lab", "lab")).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status: int = {"serve": _serve, "up": _up, "down": _down, "run": _run, "status": _status}[options.command](
            folder, options
        )
    except PanthorlabError as error:
        _say(f"{error}" + (f"\n  hint: {error.hint}" if getattr(error, "hint", None) else ""))
        return 2 if isinstance(error, UsageError) else 4
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtual-lab", description="A lab without hardware; see docs/virtual-lab.md.")
    parser.add_argument("--lab", type=Path, metavar="DIR", help="the lab's directory (default: in the cache)")
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {
        "up": "start the lab in the background",
        "run": "start it, run COMMAND with it, end it",
        "serve": "be the lab, in the foreground, until SIGTERM",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--boards", type=int, default=1, metavar="N", help="how many (default: 1)")
        command.add_argument(
            "--kernel",
            metavar="K",
            required=name == "serve",
            help="known-good kernel (default: built from the default base)",
        )
        if name == "run":
            command.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND ARG…")
    commands.add_parser("down", help="end it")
    commands.add_parser("status", help="print what it offers, as JSON")
    return parser


# -- the lab itself ---------------------------------------------------------------------------------------------


def _serve(folder: Path, options: argparse.Namespace) -> int:
    """Prints `ready` when all is up."""
    with _lock(folder) as lock:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        kernel = find_kernel(options.kernel, log=folder / "known-good-build.log")
        with Lab(folder, kernel, options.boards, _say) as lab:
            control = Control(lab)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            (folder / "lab.json").write_text(dump(lab.facts()))
            os.write(sys.stdout.fileno(), _READY)
            signal.sigwait({signal.SIGTERM, signal.SIGINT})
            control.close()
        (folder / "lab.json").unlink()
    return 0


@contextmanager
def _lock(folder: Path) -> Iterator[IO[str]]:
    """One process at a time is the lab of this directory; the lock ends with it."""
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"a lab runs in {folder} already", hint="`virtual-lab down` ends it") from None
        file.truncate(0)
        yield file
        file.truncate(0)


# -- around it --------------------------------------------------------------------------------------------------


def known_good(folder: Path) -> Kernel:
    """The kernel that boards boot by themselves, of the default base: from the store, or built now."""
    progress = ProgressDisplay(quiet=False)
    try:
        plan = prepare_kernel(None, fragments=FRAGMENTS, progress=progress.step)
        return build_side(plan, log=folder / "known-good-build.log", progress=progress.step)
    finally:
        progress.finish()


def start(
    folder: Path, *, boards: int = 1, kernel: str | None = None, detached: bool = False
) -> subprocess.Popen[bytes]:
    """A lab, ready when this returns. SIGTERM ends it, and so does our end unless it is `detached`. Raises LabError."""
    argv = [
        sys.executable,
        "-m",
        "tests.virtual_lab",
        "--lab",
        str(folder),
        "serve",
        "--boards",
        str(boards),
        "--kernel",
        kernel or known_good(folder).key,
    ]
    with (folder / "lab.log").open("wb") as log:
        if detached:
            process = subprocess.Popen(
                argv,
                cwd=PACKAGE.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        else:
            process = spawn.spawn(argv, cwd=PACKAGE.parent, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.readline()
    if said != _READY:
        process.wait()
        raise LabError("the lab did not start:\n" + (folder / "lab.log").read_text(errors="replace").strip())
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it and all that belongs to it."""
    spawn.end(process, gently=_STOP_TIMEOUT)


def environment(folder: Path) -> dict[str, str]:
    """With which panthorlab finds the lab's boards, and keeps leases and host keys inside the lab."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PANTHORLAB_PATH")])])
    return {**os.environ, "PANTHORLAB_PATH": path, "PANTHORLAB_LAB": str(folder / "state")}


def _up(folder: Path, options: argparse.Namespace) -> int:
    start(folder, boards=options.boards, kernel=options.kernel, detached=True)
    variables = environment(folder)
    for name in ("PANTHORLAB_PATH", "PANTHORLAB_LAB"):
        print(f"export {name}={variables[name]}")
    return 0


def _run(folder: Path, options: argparse.Namespace) -> int:
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise UsageError("what is to be run? virtual-lab run -- COMMAND ARG…")
    lab = start(folder, boards=options.boards, kernel=options.kernel)
    try:
        with subprocess.Popen(argv, env=environment(folder)) as command:
            while True:
                try:
                    return command.wait()
                except KeyboardInterrupt:  # the command has it too, and decides
                    continue
    finally:
        stop(lab)


def _down(folder: Path, _options: argparse.Namespace) -> int:
    with (folder / "lock").open("a+") as file:
        deadline = time.monotonic() + _STOP_TIMEOUT
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return 0
            except BlockingIOError:
                file.seek(0)
                pid = file.read().strip()
                if pid and not told:
                    os.kill(int(pid), signal.SIGTERM)
                    told = True
                if time.monotonic() > deadline:
                    raise LabError(f"the lab in {folder} (process {pid or '?'}) does not end") from None
            time.sleep(0.05)


def _status(folder: Path, _options: argparse.Namespace) -> int:
    try:
        client = LabClient(folder)
        states = {name: client.order("state", board=name) for name in client.facts["boards"]}
    except OSError as error:
        raise LabError(f"no lab runs in {folder}", hint="`virtual-lab up` starts one") from error
    print(json.dumps({**client.facts, "states": states}, indent=1))
    return 0


def _say(text: str) -> None:
    print(f"virtual-lab: {text}", file=sys.stderr, flush=True)
