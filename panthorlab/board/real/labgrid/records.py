# SPDX-License-Identifier: GPL-2.0-or-later
"""This machine's labgrid acquisitions on disk: one record each, written before labgrid is asked.

A record is locked while its controller lives; the places of unlocked records are released by the next start. The
workers of a run use the record to find the place that their controller holds for all of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from panthorlab.board.lab.lease import run_token
from panthorlab.board.lab.place import share
from panthorlab.board.real.labgrid.client import Client, find_program
from panthorlab.errors import LabError

SUFFIX: Final = ".labgrid"  # of records in the lab directory


@contextlib.contextmanager
def recorded(client: Client, place: str, lab_dir: Path) -> Iterator[Callable[[], None]]:
    """The record of an acquisition, locked while this process lives; yields the function that deletes it."""
    file = lab_dir / f"{secrets.token_hex(8)}{SUFFIX}"
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


def held_by_run(client: Client, place: str, lab_dir: Path) -> Client | None:
    """The identity under which this run holds the place; None if it does not. `release_stale` must have run before, so
    that unlocked records are gone."""
    for file in lab_dir.glob(f"*{SUFFIX}"):
        try:
            record = json.loads(file.read_bytes())
            if (record["run"], record["place"], record["coordinator"]) == (run_token(), place, client.coordinator):
                return replace(client, host=str(record["host"]), user=str(record["user"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # gone, another user's, or unreadable, which `release_stale` reports
    return None


def release_stale(lab_dir: Path, progress: Callable[[str], None]) -> None:
    """Release the places whose controllers died. Failures are reported, and retried by the next start."""
    for file in sorted(lab_dir.glob(f"*{SUFFIX}")):
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


def _release_recorded(file: Path, progress: Callable[[str], None]) -> None:
    try:
        record = json.loads(file.read_bytes())
        client = Client(find_program(), str(record["coordinator"]), str(record["host"]), str(record["user"]))
        place, pid = str(record["place"]), int(record["pid"])
    except (ValueError, KeyError, TypeError) as error:
        progress(f"labgrid: {file} is unreadable ({error!r}); see `labgrid-client who`, then delete it")
        return
    except LabError as error:
        progress(f"labgrid: a place is still held by a controller that died: {error} ({error.hint})")
        return
    if client.release(place, progress):
        file.unlink()
        progress(f"labgrid: released place {place}, which a controller that died (process {pid}) still held")
