# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab nightly FILE`: a night that was stopped goes on, else a new one begins."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.files import digest, sha256, write_whole
from panthorlab.kernel.build import config as fragments
from panthorlab.nightly import mirror, page
from panthorlab.nightly.asked import run_options
from panthorlab.nightly.config import read_config
from panthorlab.nightly.contents import with_contents
from panthorlab.nightly.model import Night, to_json
from panthorlab.nightly.night import NIGHTS, OneNight
from panthorlab.nightly.plan import KernelPlan, NightlyPlan, in_turn, plan_of
from panthorlab.nightly.record import NightEnd, NightLog, NightStart, read_nights
from panthorlab.nightly.state import Nights, NightSoFar, trend, whole
from panthorlab.nightly.telling import tell
from panthorlab.nightly.text import render
from panthorlab.notify.config import NotifySection
from panthorlab.notify.config import read_config as read_notify
from panthorlab.notify.deliver import audience, missing
from panthorlab.report import console
from panthorlab.report.text import json_text, seconds
from panthorlab.run import fleet
from panthorlab.run.kernels import parse_params
from panthorlab.run.known import read_known
from panthorlab.run.overlays import overlay_dir
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.suites import find_suites

JSON: Final = "night.json"
PAGE: Final = "night.html"
SHOWN_NIGHTS: Final = 30


def main(options: argparse.Namespace) -> int:
    """Returns the night's exit status: 4 if a kernel could not be judged, 1 if one is at fault, 3 if one shows what
    is too seldom to tell, else 0."""
    if options.report and (options.dry_run or options.force):
        raise UsageError("--report shows the last night, and does nothing", hint="leave out --dry-run and --force")
    file = options.file.absolute()
    plan = plan_of(read_config(file), file.parent)
    if options.report:
        return _report(plan, options)
    people = _check(plan)
    plan = with_contents(plan)
    if options.dry_run:
        return _dry_run(plan, people, options)
    try:
        plan.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{plan.state}: {error.strerror}", hint="`state` in the file names a directory") from error
    with NightLog(plan.state) as log:
        night = _carry_on(plan, log, people, options, digest([sha256(file)]))
    return _show(night, options)


def _check(plan: NightlyPlan) -> NotifySection | None:
    """What is wrong is said before the night begins. Gives who is told of it. Raises UsageError, ConfigError."""
    find_suites(plan.suites)
    parse_params(plan.file.param)
    read_known(plan.known)
    for kernel in plan.kernels:
        asked = run_options(plan, kernel, key="", output=plan.state, overlay=None, no_jail=False)
        boards = fleet.named(asked)
        for board in boards:
            board.check_time(asked.time)
        fragments.find_fragments(fleet.fragments_of(boards, kernel.fragments))
    return read_notify(plan.notify) if plan.notify else None


def _carry_on(
    plan: NightlyPlan, log: NightLog, people: NotifySection | None, options: argparse.Namespace, asked: str
) -> Night:
    progress = ProgressDisplay(quiet=options.quiet)
    nights = Nights.of(read_nights(plan.state))
    night, untold = nights.unfinished, any(one.untold for one in nights.nights[-1:])
    if night is not None and (why := not_resumed(night, asked, time.time())):
        log.append(NightEnd(night=night.name, seconds=max(0.0, time.time() - night.start.time), notes=(why,)))
        night, untold = None, True
    for line in missing(people) if people else ():
        progress.line(f"who is to be told will not be: {line}")
    try:
        if untold:
            _ended(plan, log, people, progress)
        if night is None:
            start = _begin(plan, log, nights, asked)
            progress.line(f"night {start.night}: {len(start.kernels)} kernels; state: {plan.state}")
        else:
            start = night.start
            progress.line(f"night {start.night} goes on")
        OneNight(
            plan,
            log,
            start.night,
            progress,
            lambda so_far: _write(plan, so_far),
            overlay=overlay_dir(plan.overlay, progress),
            force=options.force,
            no_jail=options.no_jail,
            quiet=options.quiet,
        ).run()
        return _ended(plan, log, people, progress)
    except KeyboardInterrupt:
        progress.line(f"the night goes on with: panthorlab nightly {options.file}")
        raise
    finally:
        progress.finish()


def _ended(plan: NightlyPlan, log: NightLog, people: NotifySection | None, progress: ProgressDisplay) -> Night:
    """The last night, which has ended: its pages are written, and then those who are to know are told, once."""
    night, said = _last(plan)
    _write(plan, said)
    if night.untold:
        progress.step("tell what came of the night")
        told = tell(log, night, said, people)
        for one in told.deliveries:
            progress.line(f"FAILED {one.channel}: {one.message}" if one.message else f"told {one.channel}")
        _, said = _last(plan)
        if told.interrupted:
            progress.line(f"night {night.name}: {said.notes[-1]}")
        _write(plan, said)
    return said


def _last(plan: NightlyPlan) -> tuple[NightSoFar, Night]:
    night = Nights.of(read_nights(plan.state)).nights[-1]
    return night, whole(night, str(plan.state / NIGHTS / night.name), time.time())


def not_resumed(night: NightSoFar, asked: str, now: float) -> str:
    """Why a night that was stopped does not go on; empty if it does."""
    deadline = night.start.deadline
    if night.start.asked != asked:
        return "it was interrupted, and nightly.yaml is another one since"
    if deadline is not None and now >= deadline:
        return "it was interrupted, and its time was up before it went on"
    return ""


def _begin(plan: NightlyPlan, log: NightLog, nights: Nights, asked: str) -> NightStart:
    now = time.time()
    name = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    taken = {night.name for night in nights.nights}
    name = next(one for one in (name, *(f"{name}-{number}" for number in range(2, 1000))) if one not in taken)
    return log.append(
        NightStart(
            night=name,
            title=plan.file.title,
            kernels=tuple(kernel.name for kernel in in_turn(plan.kernels, nights.last_judged(name))),
            asked=asked,
            deadline=None if plan.budget is None else now + plan.budget,
            tells=plan.notify is not None,
        )
    )


def _write(plan: NightlyPlan, night: Night) -> None:
    """The night's JSON and page, in its directory. Raises LabError: the record has it all the same."""
    rows = trend(Nights.of(read_nights(plan.state)).nights, SHOWN_NIGHTS)
    folder = Path(night.directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / JSON, json_text(to_json(night)))
        write_whole(folder / PAGE, page.render(night, rows))
    except OSError as error:
        raise LabError(
            f"{folder}: {error.strerror}", hint="free some space, then `panthorlab nightly FILE` goes on"
        ) from error


def _show(night: Night, options: argparse.Namespace) -> int:
    if options.json:
        print(json_text(to_json(night)), end="")
    else:
        print(render(night, columns=console.columns_of(sys.stdout)))
        print(f"page: {Path(night.directory) / PAGE}")
    return night.exit


def _report(plan: NightlyPlan, options: argparse.Namespace) -> int:
    """The last night, from its record alone; also while it runs, and by somebody who may only read it."""
    if not read_nights(plan.state):
        raise UsageError(f"{plan.state}: no night is on record", hint=f"panthorlab nightly {options.file}")
    return _show(_last(plan)[1], options)


def _dry_run(plan: NightlyPlan, people: NotifySection | None, options: argparse.Namespace) -> int:
    """What a night would do now; exit status 4 if a tree cannot be reached, or a secret of `notify` is missing."""
    nights = Nights.of(read_nights(plan.state))
    here = nights.unfinished
    name = here.name if here else ""
    rows: list[dict[str, object]] = []
    for kernel in in_turn(plan.kernels, nights.last_judged(name)):
        row: dict[str, object] = {"kernel": kernel.name, "url": kernel.url, "commit": None, "does": "test", "why": ""}
        rows.append(row | _would(nights, kernel, name, force=options.force))
    told, lacking = (audience(people), missing(people)) if people else ([], [])
    budget = f"within {seconds(plan.budget)}" if plan.budget else "as long as it takes"
    if options.json:
        said = {"state": str(plan.state), "budget": plan.budget, "goes_on": name or None, "kernels": rows}
        print(json_text({**said, "told": told, "missing": lacking}))
    else:
        print(f"{plan.file.title}: {len(rows)} kernels, {budget}; state: {plan.state}")
        print("\n".join(f"{row['does']:5} {row['kernel']}: {row['why']}" for row in rows))
        print(f"suites: {', '.join(find_suites(plan.suites))}; {plan.file.boots} boots; nothing was done")
        print(f"told of it: {', '.join(told) or 'nobody'}")
    for line in lacking:
        print(f"panthorlab: {line}", file=sys.stderr)
    return LabError.exit_status if lacking or any(row["does"] == "fail" for row in rows) else 0


def _would(nights: Nights, kernel: KernelPlan, name: str, *, force: bool) -> dict[str, object]:
    try:
        tip = mirror.tips(kernel.url, [kernel.branch]).get(kernel.branch)
    except PanthorlabError as error:
        return {"does": "fail", "why": str(error)}
    if tip is None:
        return {"does": "fail", "why": f"{kernel.url} has no branch {kernel.branch}"}
    last = nights.same(kernel, tip, name)
    if last and not force:
        why = f"{tip[:12]} is as the night {last.night} judged it: {last.kernel.outcome}"
        return {"does": "skip", "commit": tip, "why": why}
    against = "there is no good night to compare it with yet"
    good = nights.good(kernel.name, name, lambda _: True)
    if good and good.kernel.commit:
        against = f"compared with {good.kernel.commit.short} of the night {good.night}"
    return {"commit": tip, "why": f"{tip[:12]} on {', '.join(kernel.boards)}; {against}"}
