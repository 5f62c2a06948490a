# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of a known sha256 by HTTP: resumed after a broken connection, bounded in size and time, never incomplete."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import requests

from panthorlab.errors import LabError, UsageError
from panthorlab.files import disk_errors, sha256
from panthorlab.kernel.progress import Progress

TIMEOUT: Final = (15.0, 60.0)  # seconds to connect, and between two bytes
TRIES: Final = 4
CHUNK = 1 << 20
LARGEST: Final = 8 << 30  # bytes
LONGEST: Final = 6 * 3600.0  # seconds for all tries: a slow line, but not one that trickles


def download(
    url: str, target: Path, digest: str, progress: Progress, *, largest: int = LARGEST, seconds: float = LONGEST
) -> None:
    """Fetch `url` to `target`, whose sha256 must be `digest`; resumes an earlier download in `target.part`.

    Raises LabError for no network (after a few tries) or a file with the wrong digest, UsageError for one that is
    larger than `largest` bytes.
    """
    if target.exists() and sha256(target) == digest:
        return
    part = target.with_name(target.name + ".part")
    deadline = time.monotonic() + seconds
    trouble: Exception | None = None
    for _ in range(TRIES):
        try:
            with disk_errors():
                _fetch(url, part, progress, largest, deadline)
        except requests.RequestException as error:
            trouble = error
            continue
        if sha256(part) == digest:
            part.replace(target)
            return
        part.unlink()
        trouble = LabError(f"{url}: its sha256 is not {digest}")
    if isinstance(trouble, LabError):
        raise LabError(str(trouble), hint="it was damaged or replaced on its way; try again later") from trouble
    raise LabError(
        f"cannot download {url}: {trouble}", hint="check the network; the next try goes on where this one stopped"
    )


def _fetch(url: str, part: Path, progress: Progress, largest: int, deadline: float) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # complete already (or longer than the file; the digest will show)
        answer.raise_for_status()
        resumed = answer.status_code == requests.codes.partial_content
        length = answer.headers.get("Content-Length", "")
        total = int(length) + (have if resumed else 0) if length.isdigit() else None
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            for chunk in answer.iter_content(CHUNK):
                done += len(chunk)
                _bounded(url, part, done, largest, deadline)
                out.write(chunk)
                progress(f"downloading {url.rpartition('/')[2]}", done, total)
    if total is not None and done < total:
        raise requests.ConnectionError(f"connection closed after {done} of {total} bytes")


def _bounded(url: str, part: Path, done: int, largest: int, deadline: float) -> None:
    if done > largest:
        part.unlink()
        raise UsageError(f"{url} is larger than {largest / (1 << 30):g} GiB", hint="is it the right file?")
    if time.monotonic() > deadline:
        raise LabError(
            f"{url} did not end in time ({done} bytes came)", hint="the next try goes on where this one stopped"
        )
