# SPDX-License-Identifier: GPL-2.0-or-later
"""A real labgrid on loopback: its programs in a virtual environment of their own, a coordinator, and exporters."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from panthorlab import spawn
from panthorlab.paths import cache_dir

REQUIREMENTS = Path(__file__).parent / "labgrid-requirements.txt"
DEADLINE = 60.0


def programs() -> Path:
    """The directory of labgrid's programs. Made once (pip), then kept in the user's cache."""
    text = REQUIREMENTS.read_text()
    version = re.search(r"^labgrid==(\S+)$", text, re.MULTILINE)
    assert version is not None
    venv = cache_dir("tools") / f"labgrid-{version[1]}-py{sys.version_info[0]}.{sys.version_info[1]}"
    complete = venv / ".complete"
    with venv.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists() or complete.read_text() != text:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
            subprocess.run(
                [venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r",
                 str(REQUIREMENTS)],
                check=True, timeout=300,
            )  # fmt: skip
            complete.write_text(text)
    return venv / "bin"


@dataclass
class Labgrid:
    """A running coordinator with what it takes to use it."""

    bin: Path
    coordinator: str
    folder: Path

    def client(self, *arguments: str, user: str = "somebody", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run labgrid-client as `user` of the host `elsewhere`."""
        env = {"PATH": os.environ["PATH"], "LG_HOSTNAME": "elsewhere", "LG_USERNAME": user}
        argv = [str(self.bin / "labgrid-client"), "-x", self.coordinator, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=DEADLINE, check=False)
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def holder(self, place: str) -> str | None:
        """HOST/USER who has the place, in the coordinator's own words; cheaper than asking a client."""
        return next(reversed(self.holders(place)), None)

    def holders(self, place: str) -> list[str | None]:
        """Who has had the place so far, one after the other; None where it was given back."""
        pattern = rf"^{re.escape(place)}: place (?:acquired by (.*)|released)$"
        said = re.findall(pattern, (self.folder / "coordinator.log").read_text(), re.MULTILINE)
        return [who or None for who in said]

    @contextlib.contextmanager
    def exporter(self, name: str, groups: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
        """Export these resources (as in labgrid's exporter.yaml) until the context ends."""
        config = self.folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(dict(groups)))
        argv = [str(self.bin / "labgrid-exporter"), "--name", name, "--hostname", "127.0.0.1", str(config)]
        with _server(argv, self.folder / f"{name}.log", {"LG_COORDINATOR": self.coordinator}) as _log:
            count = sum(len(group) for group in groups.values())
            listed = ["resources", "--exporter", name]
            _until(lambda: len(self.client(*listed).stdout.splitlines()) == count, f"{name} to be connected")
            yield


@contextlib.contextmanager
def serve(folder: Path, places: Mapping[str, Sequence[str]]) -> Iterator[Labgrid]:
    """A coordinator on a free port of loopback. `places`: by name, their matches EXPORTER/GROUP/CLASS."""
    bin_dir = programs()
    folder.mkdir(parents=True, exist_ok=True)
    saved = {
        name: {"matches": [dict(zip(("exporter", "group", "cls"), match.split("/"), strict=True)) for match in matches]}
        for name, matches in places.items()
    }
    (folder / "places.yaml").write_text(yaml.safe_dump(saved))
    with _server([str(bin_dir / "labgrid-coordinator"), "-l", "127.0.0.1:0"], folder / "coordinator.log", {}) as log:
        port = _until(
            lambda: re.search(rb"^listening on 127.0.0.1:(\d+)$", log.read_bytes(), re.MULTILINE),
            "the coordinator to listen",
        )
        yield Labgrid(bin_dir, f"127.0.0.1:{int(port[1])}", folder)


@contextlib.contextmanager
def _server(argv: list[str], log: Path, env: Mapping[str, str]) -> Iterator[Path]:
    with log.open("wb") as output:
        process = spawn.spawn(
            argv,
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        )
    try:
        yield log
    except BaseException:
        sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}\n")
        raise
    finally:
        spawn.end(process, gently=0)  # a coordinator asked to stop waits for its clients


def _until(condition: Any, what: str) -> Any:
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return found
