# SPDX-License-Identifier: GPL-2.0-or-later
"""Boards managed by a labgrid coordinator: acquire a place, use its resources, and release it in any case.

Each acquisition has its own identity (HOST/USER+OWNER+NONCE), so that `release-from` frees only the places of that
controller, even while the same user runs another. `client` talks to labgrid, `records` keeps acquisitions on disk.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from panthorlab.board.real.file import Labgrid
from panthorlab.board.real.labgrid.client import CALL_TIMEOUT, Client, last_line
from panthorlab.board.real.labgrid.place import CONSOLES, Place, PlaceResources, translate
from panthorlab.board.real.labgrid.records import held_by_run, recorded, release_stale
from panthorlab.errors import LabError

POLL: Final = 3.0  # seconds between polls of a place that somebody else has


@contextlib.contextmanager
def acquire(
    section: Labgrid,
    *,
    owner: str,
    lab_dir: Path,
    timeout: float,
    progress: Callable[[str], None],
    stop: threading.Event | None = None,
) -> Iterator[PlaceResources]:
    """The place's resources, for as long as the context lasts. Nothing is acquired if this run has the place already.

    `owner`: what `labgrid-client who` shows beside the user's name. `timeout`: seconds to wait while somebody else has
    the place, unless `stop` is set before. Places whose controllers died are given back first. Raises LabError: no
    labgrid-client, no coordinator, no such place, still held by another, resources missing.
    """
    release_stale(lab_dir, progress)
    client = Client.new(section, owner)
    place = client.show(section.place)
    _exactly(section.place, place, client)
    if held := held_by_run(client, place.name, lab_dir):
        yield translate(_started(held, place.name), held.control(place.name))
        return
    with recorded(client, place.name, lab_dir) as forget:
        try:
            _take(client, place, timeout, progress, stop or threading.Event())
            yield translate(_started(client, place.name), client.control(place.name))
        finally:
            if client.release(place.name, progress):
                forget()


def _exactly(wanted: str, place: Place, client: Client) -> None:
    """Require the exact name: labgrid also accepts parts of names, which may match another board later."""
    if wanted != place.name and wanted not in {alias.rpartition(":")[2] for alias in place.aliases}:
        raise client.unknown(wanted)


def _take(client: Client, place: Place, timeout: float, progress: Callable[[str], None], stop: threading.Event) -> None:
    """Acquire the place, waiting for whoever has it. `place`: as just seen. Raises LabError."""
    deadline = time.monotonic() + timeout
    name, shown = place.name, ""
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
        if why != shown:
            progress(f"waiting for labgrid place {name}: it is {why}")
            shown = why
        if stop.wait(min(POLL, max(0.0, deadline - time.monotonic()))):
            raise LabError(f"interrupted while waiting for labgrid place {name}: it is {why}")
        place = client.show(name)


def _busy(done: subprocess.CompletedProcess[str], place: Place) -> str:
    """Who else has the place. Raises LabError if it was refused for another reason, which waiting does not cure."""
    if place.holder is not None:
        return f"acquired by {place.holder}"
    if place.reservation and "not reserved for" in done.stderr:
        return f"reserved for another (reservation {place.reservation})"
    if "already acquired by place" in done.stdout:
        return f"without its resources: {last_line(done.stdout)}"
    hint = "`labgrid-client resources` and the exporter's log say more"
    if "has no matching remote resource" in done.stderr:
        hint = "its exporter is not connected, or exports it under another name: `labgrid-client resources`"
    raise LabError(f"labgrid refuses the place: {last_line(done.stderr)}", hint=hint)


def _started(client: Client, name: str) -> Place:
    """The acquired place, once its exporters serve its consoles, which they start after the acquisition."""
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
            return place  # complete; or never will be, which `translate` reports
        if time.monotonic() >= deadline:
            raise LabError(
                f"labgrid place {name} was acquired, but its exporter does not serve {idle[0]}",
                hint="is ser2net installed on the exporter's machine? its log says more",
            )
