# SPDX-License-Identifier: GPL-2.0-or-later
"""The small commands: scan, report, doctor."""

from __future__ import annotations

import argparse
import json
import sys

from panthorlab.run.events import is_validation, read_what_is_left


def scan(options: argparse.Namespace) -> int:
    """`panthorlab scan`: findings of any kernel log."""
    from panthorlab.kmsg.scan import scan_main

    return scan_main(options.files, json=options.json, fail_on=options.fail_on, out=sys.stdout)


def report(options: argparse.Namespace) -> int:
    """`panthorlab report RUN`: write a run's reports again from its events; exits with its verdict's status, and 4
    if the log is damaged."""
    from panthorlab.run import reports, single

    run_dir = options.run.resolve()
    events = read_what_is_left(run_dir)
    if not is_validation(events):
        return single.summary(run_dir, events, as_json=options.json)
    verdict = reports.judge(events)
    return reports.write(run_dir, events, verdict, as_json=options.json)


def doctor(options: argparse.Namespace) -> int:
    """`panthorlab doctor`: every check with what to do about it; 4 if something needed is missing or damaged."""
    from panthorlab.board.doctor import checks as board_checks
    from panthorlab.kernel import upkeep
    from panthorlab.kernel.doctor import checks as kernel_checks

    repaired = upkeep.repair() if options.repair else []
    results = [check() for check in (*kernel_checks(), *board_checks())]
    if options.json:
        print(
            json.dumps(
                {
                    "repaired": repaired,
                    "checks": [{"name": r.name, "ok": r.ok, "detail": r.detail, "hint": r.hint} for r in results],
                },
                indent=1,
            )
        )
    else:
        for line in repaired:
            print(f"removed {line.removesuffix('; removed')}")
        for result in results:
            print(f"{'ok     ' if result.ok else 'MISSING'} {result.name}: {result.detail}")
            if not result.ok and result.hint:
                print(f"        → {result.hint}")
    return 0 if all(result.ok for result in results) else 4
