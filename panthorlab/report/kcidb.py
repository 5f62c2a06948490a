# SPDX-License-Identifier: GPL-2.0-or-later
"""A run in KCIDB's I/O schema, version 5.3: one checkout, a build a side, and the results of workloads and tests.

Nothing is submitted; the dictionary is for whoever submits it, or a dashboard of one's own. `FAIL` is the kernel's
alone: whatever the lab or the evidence did is `ERROR`, and a run that came to nothing says so instead of having no
results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from panthorlab.arch import ARCHES
from panthorlab.outcome import Outcome, Side
from panthorlab.report.coverage import driver_text, patch_text
from panthorlab.report.model import KernelInfo, RunReport
from panthorlab.report.text import json_text, plain
from panthorlab.verdict.model import BootResult, Verdict
from panthorlab.verdict.side import SideResult

ORIGIN = "panthorlab"


def to_json(report: RunReport) -> dict[str, Any]:
    """The report; all ids begin with `panthorlab:` and the name of the run's directory."""
    run = f"{ORIGIN}:{_slug(report.run_dir.name)}"
    builds = _builds(report, run)
    if not builds:
        builds = [{**_result(report, f"{run}-none", Outcome.ERROR, _why(report)), "checkout_id": run}]
    return {
        "version": {"major": 5, "minor": 3},
        "checkouts": [
            {
                **({"git_commit_hash": report.base_commit} if len(report.base_commit) == 40 else {}),
                "id": run,
                "origin": ORIGIN,
                "valid": True,
                "start_time": report.started.isoformat(),
                "comment": _comment(report),
                "misc": {"base": report.base, "patches": [patch.title for patch in report.patches]},
            }
        ],
        "builds": [{key: value for key, value in build.items() if value != ""} for build in builds],
        "tests": [
            *(test for side in Side if side in report.kernels for test in _tests(report, run, side)),
            *(boot for side in Side if side in report.kernels for boot in _boots(report, run, side)),
            *_whole_run(report, run),
        ],
    }


def _builds(report: RunReport, run: str) -> list[dict[str, Any]]:
    """Of each kernel, and of what did not become one."""
    started = report.started.isoformat()
    builds: list[dict[str, Any]] = [
        {
            "id": _build_id(run, side, variant),
            "checkout_id": run,
            "origin": ORIGIN,
            "architecture": _architecture(kernel.arch),
            "status": "PASS",
            "start_time": started,
            "config_name": "+".join(map(plain, kernel.config)),
            "compiler": plain(kernel.toolchain),
            "comment": plain(f"{side}{f' [{variant}]' if variant else ''}: {kernel.description}"),
            "misc": {
                "key": kernel.key,
                "build_id": kernel.build_id or "",
                "release": kernel.release,
                "modules": dict(kernel.modules),
                **_coverage(report, side),
            },
        }
        for variant, kernels in _kernels(report).items()
        for side, kernel in kernels.items()
    ]
    builds += [
        {
            "id": f"{run}-{side}",
            "checkout_id": run,
            "origin": ORIGIN,
            "architecture": _architecture(failed.arch),
            "status": "FAIL",
            "start_time": started,
            "comment": plain(f"{side}: {failed.message}"),
        }
        for side, failed in report.failed_builds.items()
        if side not in report.kernels
    ]
    return builds


def render(report: RunReport) -> str:
    return json_text(to_json(report))


def _kernels(report: RunReport) -> dict[str, Mapping[Side, KernelInfo]]:
    """The kernels of the plain boots, and of each variant that has its own."""
    return {"": report.kernels, **{variant.name: variant.kernels for variant in report.variants if variant.kernels}}


def _architecture(arch: str) -> str:
    """KCIDB's word for a kernel ARCH; nothing, and the field is left out, for what the table does not have."""
    return ARCHES[arch].kcidb if arch in ARCHES else ""


def _build_id(run: str, side: Side, variant: str) -> str:
    return f"{run}-{side}" + (f"-{_slug(variant)}" if variant else "")


def _slug(text: str) -> str:
    """Text as a segment of a test path or id: `[A-Za-z0-9_-]+`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "_"


def _coverage(report: RunReport, side: Side) -> dict[str, str]:
    one = (report.coverage or {}).get(side)
    return {} if one is None else {"coverage": driver_text(one), "patch_coverage": patch_text(side, one.patch)}


def _comment(report: RunReport) -> str:
    return f"{plain(report.title)}: {report.verdict.verdict}"


def _tests(report: RunReport, run: str, side: Side) -> list[dict[str, Any]]:
    found: list[tuple[str, Outcome, str, dict[str, Any], str]] = []
    own = frozenset(_kernels(report))
    for workload in report.verdict.workloads:
        result = workload.before if side is Side.BEFORE else workload.after
        found.append(
            (
                f"panthor.{_slug(workload.role)}.{_slug(workload.name)}",
                _status(result, workload.verdict),
                f"{result.faulty}/{result.iterations} faulty",
                {
                    "faulty": result.faulty,
                    "iterations": result.iterations,
                    "interval": list(result.interval),
                    "verdict": workload.verdict.value,
                },
                workload.variant,
            )
        )
    for test in report.verdict.tests:
        path = ".".join(_slug(part) for part in re.split(r"::|/|\.py\b", test.name) if part.strip("."))
        outcome = test.before if side is Side.BEFORE else test.after
        found.append((f"panthor.test.{path}", outcome, plain(test.message) or test.reason, {}, test.variant))
    return [
        {
            "id": f"{run}-{side}-{number}",
            "origin": ORIGIN,
            "path": path,
            "build_id": _build_id(run, side, variant if variant in own else ""),
            "status": outcome.value,
            "start_time": report.started.isoformat(),
            "comment": comment,
            "environment": {"comment": plain(report.board.name), "misc": dict(report.board.facts)},
            "misc": misc,
        }
        for number, (path, outcome, comment, misc, variant) in enumerate(found)
    ]


def _boots(report: RunReport, run: str, side: Side) -> list[dict[str, Any]]:
    """KCIDB's `boot` tests. A kernel that came up and died later has not failed to boot; its findings tell."""
    return [
        {
            **_result(report, f"{run}-{side}-boot-{number}", _boot_status(boot), plain(boot.message)),
            "path": "boot",
            "build_id": _build_id(run, side, ""),
            "environment": {"comment": plain(boot.board)},
        }
        for number, boot in enumerate(one for one in report.boots if one.side is side)
    ]


def _boot_status(boot: BootResult) -> Outcome:
    if boot.usable:
        return Outcome.PASS
    return Outcome.FAIL if boot.died_of_kernel else Outcome.ERROR


def _whole_run(report: RunReport, run: str) -> list[dict[str, Any]]:
    """Of a run without a verdict: that it has none, and why."""
    side = next((side for side in (Side.AFTER, Side.BEFORE) if side in report.kernels), None)
    if report.verdict.verdict is not Verdict.ERROR or side is None:
        return []
    own = _result(report, f"{run}-run", Outcome.ERROR, _why(report))
    return [{**own, "path": "panthor.run", "build_id": _build_id(run, side, "")}]


def _result(report: RunReport, own_id: str, status: Outcome, comment: str) -> dict[str, Any]:
    started = report.started.isoformat()
    return {"id": own_id, "origin": ORIGIN, "status": status.value, "start_time": started, "comment": comment}


def _why(report: RunReport) -> str:
    return "; ".join(map(plain, report.verdict.reasons))


def _status(result: SideResult, verdict: Verdict) -> Outcome:
    if result.faulty or result.cut:
        return Outcome.FAIL
    if not result.iterations:
        return Outcome.SKIP if result.skipped else Outcome.MISS
    # a side without faults in a workload that could not be judged has not passed it
    return Outcome.ERROR if verdict is Verdict.ERROR else Outcome.PASS
