# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab check`, and `--dry-run` of `validate` and `build`: what would be done, and nothing of it done. (That of
`matrix` is in `matrixcheck.py`.)

No run directory, nothing downloaded or unpacked, no word written into the cache.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypedDict

from panthorlab.board.board import Board
from panthorlab.errors import PanthorlabError, UsageError
from panthorlab.kernel import store
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.patch.basecommit import repository_of
from panthorlab.kernel.patch.read import read_all
from panthorlab.kernel.patch.report import PatchReport, UnfitError
from panthorlab.kernel.patch.series import Intake, SeriesJson
from panthorlab.kernel.source.base import Base
from panthorlab.kernel.source.spec import UnknownYetError
from panthorlab.report.leftout import not_run
from panthorlab.run import estimate, fleet
from panthorlab.run.outlook import outlook, suites_of
from panthorlab.run.record import Variant
from panthorlab.run.sides import sides_of
from panthorlab.run.suites import find_suites
from panthorlab.run.variants import DEBUG_NAME
from panthorlab.text import readable

INCONCLUSIVE = 3
Pair = tuple[SidePlan, SidePlan]
"""The kernels of both sides."""


class FileJson(TypedDict):
    """How a patch fits one file."""

    file: str
    fit: str
    detail: str


class PatchJson(TypedDict):
    """How a patch fits its base."""

    title: str
    source: str
    message_id: str | None
    reverse: bool
    fit: str
    detail: str
    files: list[FileJson]


class BaseJson(TypedDict):
    """`unpacked`: it is in the cache."""

    title: str
    version: str
    has_fix: bool
    unpacked: bool


class KernelJson(TypedDict):
    """`stored`: it need not be built."""

    key: str
    title: str
    stored: bool


class Prospect(TypedDict):
    """What would be done, as `--json` has it; or why it would not run, with the exit status of that. `suites`: of which
    any test would run; `not_run`: of each other test of those that were asked for why it would not, by SUITE::TEST."""

    exit: int
    error: str | None
    hint: str | None
    series: list[SeriesJson]
    base: BaseJson | None
    patches: list[PatchJson]
    kernels: dict[str, KernelJson]
    suites: list[str]
    not_run: dict[str, str]
    boards: list[str]
    minutes: float | None
    notes: list[str]


def main(options: argparse.Namespace) -> int:
    """Print the plan. 0: it would run; 2: bad input, or a patch does not apply; 3: the base must be unpacked first."""
    building = options.name == "build"
    chosen = fleet.Fleet(fleet.named(options)) if building else fleet.choose(options)
    if not building:
        find_suites(options.suite)  # a name that does not exist is refused first
    plan = _plan(options, chosen)
    if options.json:
        print(json.dumps(plan, indent=1))
    else:
        print(readable("\n".join(_lines(plan))))
    return plan["exit"]


def _plan(options: argparse.Namespace, chosen: fleet.Fleet) -> Prospect:
    boards = chosen.boards
    plan: Prospect = {
        "exit": 0,
        "error": None,
        "hint": None,
        "series": [],
        "base": None,
        "patches": [],
        "kernels": {},
        "suites": [],
        "not_run": {},
        "boards": [board.name for board in boards],
        "minutes": None,
        "notes": [*chosen.notes],
    }
    # Read once, and by name: standard input has nothing the second time.
    intake = read_all(options.patch, repository_of(options.base), options.patch_version)
    plan["series"] = [each.described() for each in intake.series]
    try:
        fragments = fleet.fragments_of(boards, options.config, coverage=_measured(options, boards))
        sides = sides_of(options, fragments, look=True, intake=intake if options.patch else None)
        fleet.check_release(boards, sides.base.version)
    except UnfitError as error:
        plan["patches"] = [_patch(report) for report in error.reports]
        plan["notes"] += error.notes
        return _refused(plan, error, error.exit_status)
    except UnknownYetError as error:
        plan["notes"] += intake.notes
        return _refused(plan, error, INCONCLUSIVE)
    plan["base"] = _base(sides.base)
    if options.name == "build" and sides.default_job and not options.revert:  # the base alone, as it is
        plain = sides.after if sides.before.reports else sides.before
        plan["kernels"], plan["minutes"] = {"base": kernel_of(plain)}, _minutes(options, [plain], boards, ())
        return plan
    plan["patches"] = [_patch(report) for report in sides.reports]
    plan["kernels"] = {side.side.value: kernel_of(side) for side in (sides.before, sides.after)}
    told = {report.summary for report in sides.reports}
    plan["notes"] += [note for note in sides.notes if not note.startswith("base:") and note not in told]
    both = (sides.before, sides.after)
    if options.name == "build":
        plan["minutes"] = _minutes(options, both, boards, ())
        return plan
    tests = outlook(options, boards, both)
    running = [*tests.plain, *(test for variant in tests.variants for test in variant.tests)]
    plan["suites"] = suites_of(running, find_suites(options.suite))
    plan["not_run"] = dict(tests.left_out)
    if not running:
        nothing = UsageError("no test of these suites can run", hint="`panthorlab suites` lists suites")
        return _refused(plan, nothing, nothing.exit_status)
    beside = _beside(options, boards, intake if options.patch else None, tests.variants)
    plan["kernels"] |= {f"{name} {side.side.value}": kernel_of(side) for name, pair in beside.items() for side in pair}
    deep = sum(len(variant.tests) for variant in tests.variants)
    plan["minutes"] = _minutes(options, both, boards, plan["suites"], beside, deep)
    return plan


def _beside(
    options: argparse.Namespace, boards: Sequence[Board], intake: Intake | None, variants: Sequence[Variant]
) -> dict[str, Pair]:
    """The kernels that a deep run builds beside the plain ones, by what their variants are called without parameters of
    the GPU: a debug kernel, and one for tests that want another configuration."""
    pairs: dict[str, Pair] = {}
    for variant in variants:
        name = variant.name.partition(",")[0]
        if variant.fragments and name not in pairs:
            fragments = fleet.fragments_of(boards, [*options.config, *variant.fragments])
            sides = sides_of(options, fragments, look=True, intake=intake)
            pairs[name] = (sides.before, sides.after)
    return pairs


def _measured(options: argparse.Namespace, boards: Sequence[Board]) -> bool:
    if options.name == "build":
        return False  # it builds what it is told to, and measures nothing
    return fleet.measured(boards, coverage=options.coverage, time=options.time)


def _refused(plan: Prospect, error: PanthorlabError, status: int) -> Prospect:
    plan["exit"], plan["error"], plan["hint"] = status, str(error), error.hint
    return plan


def _patch(report: PatchReport) -> PatchJson:
    return {
        "title": report.title,
        "source": report.origin,
        "message_id": report.message_id,
        "reverse": report.reverse,
        "fit": report.fit,
        "detail": report.detail,
        "files": [{"file": each.file, "fit": each.fit, "detail": each.detail} for each in report.fits],
    }


def _base(base: Base) -> BaseJson:
    return {"title": base.title, "version": base.version, "has_fix": base.has_fix, "unpacked": base.path.is_dir()}


def kernel_of(plan: SidePlan) -> KernelJson:
    return {"key": plan.key, "title": plan.title, "stored": store.has(plan.key)}


def _minutes(
    options: argparse.Namespace,
    plans: Sequence[SidePlan],
    boards: Sequence[Board],
    suites: Sequence[str],
    beside: Mapping[str, Pair] = MappingProxyType({}),
    deep: int = 0,
) -> float | None:
    missing = len({plan.key for plan in plans if not store.has(plan.key)})
    seconds = estimate.build_seconds(missing, warm=is_warm(plans[0]))
    seconds += 0 if plans[0].base.path.is_dir() or not missing else estimate.UNPACKED
    known = all(board.emulated for board in boards)
    if suites and known:
        seconds += estimate.boot_seconds(suites, options.boots, options.jobs, options.iterations)
    for name, pair in beside.items():
        lacking = len({plan.key for plan in pair if not store.has(plan.key)})
        seconds += estimate.build_seconds(lacking, warm=is_warm(pair[0]), debug=name == DEBUG_NAME)
    if deep:
        seconds += estimate.deep_seconds(deep, options.jobs)
    return round(seconds / 60, 1) if known or not suites else None


def is_warm(plan: SidePlan) -> bool:
    """Whether the tree has been built with this configuration (see `steps.objects_of`, too slow to import here)."""
    return any(plan.base.path.parent.glob(f"obj-{plan.arch}-{plan.config_key[:16]}-*"))


def _lines(plan: Prospect) -> list[str]:
    lines: list[str] = []
    for series in plan["series"]:
        versions = ", ".join(f"v{version}" for version in series["versions"])
        taken = f"v{series['version']} of {versions}" if len(series["versions"]) > 1 else f"v{series['version']}"
        count = len(series["patches"])
        lines.append(f"series  “{series['title']}”, {taken}, {count} patch{'es' if count > 1 else ''}")
        facts = (
            ("message-id", series["message_id"]),
            ("change-id", series["change_id"]),
            ("base-commit", series["base_commit"]),
        )
        lines += [f"        {name}: {value}" for name, value in facts if value]
    if plan["base"]:
        where = "" if plan["base"]["unpacked"] else ", to be unpacked"
        lines.append(f"base    Linux {plan['base']['version']}, {plan['base']['title']}{where}")
    for number, patch in enumerate(plan["patches"], 1):
        reverse = "reverse " if patch["reverse"] else ""
        lines.append(f"patch   {number}  {patch['title']}: {reverse}{patch['fit']}")
        for file in patch["files"]:
            detail = f" ({file['detail']})" if file["detail"] and "\n" not in file["detail"] else ""
            lines.append(f"          {file['file']}: {file['fit']}{detail}")
            if "\n" in file["detail"]:
                lines += [f"            {line}" for line in file["detail"].splitlines()]
    for side, kernel in plan["kernels"].items():
        lines.append(
            f"{side:7} {kernel['key'][:16]}  {'in the store' if kernel['stored'] else 'to be built'}  {kernel['title']}"
        )
    if plan["suites"]:
        lines += [f"suites  {', '.join(plan['suites'])}", f"boards  {', '.join(plan['boards'])}"]
    lines += [f"        {line}" for line in not_run(plan["not_run"])]
    lines += [f"note    {note}" for note in plan["notes"]]
    if plan["error"]:
        state = "cannot tell" if plan["exit"] == INCONCLUSIVE else "would not run"
        why = plan["patches"][-1] if plan["patches"] and not plan["kernels"] else None
        reason = f"{why['title']}: {why['fit']}" if why else plan["error"]
        lines += [f"{state}: {reason}", *([f"  hint: {plan['hint']}"] if plan["hint"] else [])]
    elif plan["minutes"] is None:
        lines.append("time    not known for a real board")
    else:
        lines.append(f"time    about {plan['minutes']:g} min, as recorded on an idle machine with two cores")
    return lines
