# SPDX-License-Identifier: GPL-2.0-or-later
"""The small commands: scan, report, doctor."""

from __future__ import annotations

import argparse
import json
import sys

from panthorlab.run.events import is_validation, read_run


def scan(options: argparse.Namespace) -> int:
    """`panthorlab scan`: findings of any kernel log."""
    from panthorlab.kmsg.scan_command import scan_main

    return scan_main(options.files, json=options.json, fail_on=options.fail_on, compare=options.compare, out=sys.stdout)


def report(options: argparse.Namespace) -> int:
    """`panthorlab report RUN`: write a run's reports again from its events; exits with its verdict's status."""
    from panthorlab.run import reports, single

    run_dir = options.run.resolve()
    events = read_run(run_dir)
    if not is_validation(events):
        return single.summary(run_dir, events, as_json=options.json)
    verdict = reports.judge(events)
    reports.write(run_dir, events, verdict, as_json=options.json)
    return verdict.exit


def doctor(options: argparse.Namespace) -> int:
    """`panthorlab doctor`: every check with what to do about it; 4 if something needed is missing."""
    from panthorlab.board.doctor import checks as board_checks
    from panthorlab.kernel.doctor import checks as kernel_checks

    results = [check() for check in (*kernel_checks(), *board_checks())]
    if options.json:
        print(
            json.dumps(
                {"checks": [{"name": r.name, "ok": r.ok, "detail": r.detail, "hint": r.hint} for r in results]},
                indent=1,
            )
        )
    else:
        for result in results:
            print(f"{'ok     ' if result.ok else 'MISSING'} {result.name}: {result.detail}")
            if not result.ok and result.hint:
                print(f"        → {result.hint}")
    return 0 if all(result.ok for result in results) else 4
