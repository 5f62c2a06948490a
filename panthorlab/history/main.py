# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab history`: the database brought up to date, and its pages."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from panthorlab.errors import LabError
from panthorlab.files import write_whole
from panthorlab.history import database, pages
from panthorlab.history.as_json import to_json
from panthorlab.history.find import run_dirs
from panthorlab.history.trends import trends_of
from panthorlab.report.text import json_text, plain


def main(options: argparse.Namespace) -> int:
    """Exit status 0; runs that cannot be read are shown as such."""
    roots = options.directory or [Path("runs")]
    output = (options.output or roots[0] / "history").absolute()
    found = run_dirs(roots)
    database.update(
        output,
        found,
        rebuild=options.rebuild,
        on_wait=lambda: print("another panthorlab writes this history; waiting for it", file=sys.stderr),
    )
    trends = trends_of(database.read(output))
    for name, page in pages.render(trends, output):
        try:
            write_whole(output / name, page)
        except OSError as error:
            raise LabError(f"{output / name}: {error.strerror}", hint="free some space, then do it again") from error
    if options.json:
        sys.stdout.write(json_text(to_json(trends)))
        return 0
    for run in trends.trouble:
        print(f"{plain(run.path)}: {run.why}", file=sys.stderr)
    lost = sum(night.lost for night in trends.nights)
    judged = sum(night.judged for night in trends.nights)
    print(f"{len(trends.runs)} runs, {len(trends.trouble)} of them damaged; {judged} results judged, {lost} lost")
    print(f"history: {plain(output / pages.PAGES['nights'])}")
    return 0
