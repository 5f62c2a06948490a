# SPDX-License-Identifier: GPL-2.0-or-later
"""The small commands: scan, report, doctor."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from panthorlab.errors import LabError, UsageError
from panthorlab.run.record import BisectStart, Event
from panthorlab.run.record.log import is_validation, read_what_is_left
from panthorlab.run.suitepytest import suite_pytest
from panthorlab.verdict import RunVerdict


def scan(options: argparse.Namespace) -> int:
    """`panthorlab scan`: findings of any kernel log."""
    from panthorlab.kmsg.scan_command import scan_main

    return scan_main(options.files, json=options.json, fail_on=options.fail_on, compare=options.compare, out=sys.stdout)


def report(options: argparse.Namespace) -> int:
    """`panthorlab report RUN`: write a run's reports again from its events; exits with its verdict's status, and 4
    if the log is damaged."""
    from panthorlab.run import reports
    from panthorlab.run.summary import summary

    if options.sender and not options.mail:
        raise UsageError("--from is for --mail", hint="leave it out")
    run_dir = options.run.resolve()
    events = read_what_is_left(run_dir)
    if not is_validation(events):
        for name in ("kcidb", "mail"):
            if getattr(options, name):
                raise UsageError(f"--{name} is for runs of `panthorlab validate`", hint="leave it out, or use --json")
        if any(isinstance(event, BisectStart) for event in events):
            from panthorlab.run.bisect.command import report as report_bisect

            return report_bisect(run_dir, events, as_json=options.json)
        return summary(run_dir, events, as_json=options.json)
    verdict = reports.judge(events)
    if options.mail:
        return _mail(options, run_dir, events, verdict)
    if options.kcidb == "-" and options.json:
        raise UsageError("--json and --kcidb - both write to stdout", hint="give --kcidb a FILE, or leave one out")
    if options.kcidb == "-":
        sys.stdout.write(reports.kcidb_of(run_dir, events, verdict))
        return verdict.exit
    status = reports.write(run_dir, events, verdict, as_json=options.json)
    if options.kcidb is not None:
        _write(Path(options.kcidb), reports.kcidb_of(run_dir, events, verdict))
    return status


def _mail(options: argparse.Namespace, run_dir: Path, events: Sequence[Event], verdict: RunVerdict) -> int:
    """The draft on stdout; on stderr what is not in it and why."""
    from panthorlab.run import identity, reports

    if options.json or options.kcidb:
        raise UsageError("--mail writes the draft to stdout, and nothing else", hint="leave --json and --kcidb out")
    whose = identity.parse(options.sender) if options.sender else identity.of_git()
    draft = reports.mail_of(run_dir, events, verdict, whose)
    if whose is None:
        missing = "no sender and no Tested-by: git does not know who you are"
        print(f"panthorlab: {missing}\n  hint: set git's user.name and user.email, or give --from", file=sys.stderr)
    sys.stdout.write(draft.decode())
    return verdict.exit


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--kcidb {path}: {error.strerror}", hint="choose a file that you may write") from error


def suites(options: argparse.Namespace) -> int:
    """`panthorlab suites`: where they are; with arguments, pytest on all of them, and its status."""
    from panthorlab.run.suites import all_suites

    found = all_suites()
    arguments = options.arguments[1:] if options.arguments[:1] in (["--"], ["run"]) else options.arguments
    if options.arguments:
        return _pytest([*map(str, found.values()), *arguments])
    if options.json:
        print(json.dumps({"suites": [{"name": name, "file": str(file)} for name, file in found.items()]}, indent=1))
    else:
        for name, file in found.items():
            print(f"{name:28} {file}")
    return 0


def _pytest(arguments: list[str]) -> int:
    """In a process of its own, as a user would start it; statuses that mean something else here are translated."""
    from panthorlab.run.plugin import OWN_STATUS

    status = subprocess.run(suite_pytest("--own-status", *arguments), check=False).returncode
    if status < 0:
        raise LabError(f"pytest was killed by signal {-status}")
    if status >= OWN_STATUS:
        return status - OWN_STATUS
    # pytest: 0 passed, 1 failed (the plugin would have said of what), 2 interrupted, 3 internal, 4 usage, 5 no tests
    return {0: 0, 2: 130, 4: 2, 5: 2}.get(status, LabError.exit_status)


def doctor(options: argparse.Namespace) -> int:
    """`panthorlab doctor`: every check with what to do about it; 4 if something needed is missing or damaged.
    `--exact`: see `exactness`."""
    if options.exact:
        from panthorlab.run import exactness

        return exactness.main(options)
    if options.kernel or options.suite or options.board or options.param:
        raise UsageError("the plain checks boot nothing", hint="`--exact` boots a kernel")
    from panthorlab.board.kinds import checks as board_checks
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
