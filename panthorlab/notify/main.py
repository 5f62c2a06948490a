# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab notify DIR --config FILE`: tell those whom the file names what came of a run or a night."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, UsageError
from panthorlab.history.facts import facts_of
from panthorlab.history.find import LOG, run_dirs
from panthorlab.notify.config import NotifySection, read_config
from panthorlab.notify.deliver import Delivery, channels, deliver, missing
from panthorlab.notify.notice import Notice, payload, text
from panthorlab.notify.ofnight import of_night
from panthorlab.notify.ofrun import of_run, of_runs
from panthorlab.report.text import json_text, plain

NIGHT: Final = "night.json"
_LARGEST: Final = 64 << 20


def main(options: argparse.Namespace) -> int:
    """Exit status 0 if all who want the notice have it, or nobody wants it; 4 if it did not arrive somewhere. It says
    nothing of the run."""
    section = read_config(options.config)
    notice = notice_of(options.directory)
    wanted = [channel.name for channel in channels(notice, section)]
    if options.dry_run:
        return _preview(notice, section, wanted, as_json=options.json)
    done = deliver(notice, section)
    if options.json:
        sys.stdout.write(json_text({"notice": payload(notice), "deliveries": [_json(one) for one in done]}))
    else:
        print("\n".join(lines(done)) or "nobody wants to know (see `when`, `webhooks` and `mail` in the file)")
    return 0 if all(one.ok for one in done) else LabError.exit_status


def lines(done: Sequence[Delivery]) -> list[str]:
    """A line for each delivery."""
    return [
        f"{'told' if one.ok else 'FAILED'} {one.channel}{f': {one.message}' if one.message else ''}" for one in done
    ]


def notice_of(directory: Path) -> Notice:
    """What there is to tell of a directory: a night, a run, or all runs below it. Raises UsageError, LabError."""
    if not directory.is_dir():
        raise UsageError(f"{directory} is no directory", hint="name a run's or a night's")
    if (directory / NIGHT).is_file():
        return of_night(_night(directory / NIGHT))
    if (directory / LOG).is_file():
        return of_run(facts_of(directory.resolve()))
    runs = run_dirs([directory])
    if not runs:
        raise UsageError(f"{directory} has neither a run nor a night", hint=f"a run has {LOG}, a night {NIGHT}")
    return of_runs(directory.resolve(), [facts_of(run) for run in runs])


def _night(file: Path) -> dict[str, object]:
    try:
        with file.open("rb") as stream:
            data = json.loads(stream.read(_LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        raise LabError(f"{file}: {plain(error)}") from error
    if not isinstance(data, dict):
        raise LabError(f"{file} is no night")
    return data


def _preview(notice: Notice, section: NotifySection, wanted: Sequence[str], *, as_json: bool) -> int:
    """What would be sent to whom, and what is missing for it."""
    lacking = missing(section)
    if as_json:
        sys.stdout.write(json_text({"notice": payload(notice), "to": list(wanted), "missing": lacking}))
    else:
        print(text(notice))
        print("\n".join(f"to {name}" for name in wanted) or "to nobody")
    for line in lacking:
        print(f"panthorlab: {line}", file=sys.stderr)
    return LabError.exit_status if lacking else 0


def _json(one: Delivery) -> dict[str, object]:
    return {"channel": one.channel, "ok": one.ok, "message": one.message, "seconds": round(one.seconds, 3)}
