#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Take real fixes out of the kernel, run the suites, and record which of them see it: the scoreboard.

For each row of `benchmarks/bugs/bugs.toml`: builds the kernel with the fix taken out, runs the suites on it, and stops
at the first thing that `panthorlab run` blames this kernel for and not the kernel without the bug. That is checked at
once: the suite that showed it runs on the kernel without the bug, too.

Results are kept in a file, and what it has is not run again unless the kernel or a suite has changed since: stop it
when you like, and start it again. What follows `--` goes to `panthorlab run`.

Exit status: 0 every row was run, whatever came of it; 1 a control, or the kernel without a bug, was blamed; 2 usage;
4 the lab failed for some row: start it again; 130 interrupted.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from benchmarks import bug_published  # noqa: E402
from benchmarks.bug_board import Board, Settings, core_keys  # noqa: E402
from benchmarks.bug_published import Whole  # noqa: E402
from benchmarks.bug_records import Records, Result, State, faults_of_clean  # noqa: E402
from benchmarks.bug_rows import Control, Row, Table, choose, load, load_mutants  # noqa: E402
from benchmarks.bug_runs import digest  # noqa: E402
from benchmarks.bug_scores import Scores, markdown, summary  # noqa: E402
from benchmarks.bug_whole import read_whole  # noqa: E402
from panthorlab.errors import PanthorlabError  # noqa: E402
from panthorlab.files import MACHINE, UNREADABLE, exclusive, write_whole  # noqa: E402
from panthorlab.run.suites import find_suites  # noqa: E402
from panthorlab.run.survey import survey  # noqa: E402
from panthorlab.run.variants import DEBUG  # noqa: E402
from panthorlab.streams import STDOUT, guarded  # noqa: E402

SUITES = ROOT / "suites"
PAGE = ROOT / "docs/scoreboard.md"
RESULTS = ROOT / "runs/bugs/results.jsonl"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--made-up", action="store_true", help="the bugs of benchmarks/mutants, which the driver never had; no --table")
    add("--list", action="store_true", help="only list the rows")
    add("--only", action="append", default=[], metavar="ROW",
        help="only this row: its id, or how it begins (`05`); may be repeated")  # fmt: skip
    add("--suite", action="append", default=[], metavar="NAME",
        help="as of `panthorlab run`; may be repeated (default: all that need no overlay)")  # fmt: skip
    add("--base", metavar="SRC", help="what the rows of 6.12 are taken out of, as of `panthorlab build`")
    add("--deep", action="store_true",
        help="rows that need fragments (as KASAN) on the kernel of `validate --deep` that has them")  # fmt: skip
    add("--debug", action="append", default=[], metavar="FRAGMENT",
        help="with --deep: the debug kernel has this one, not those of `validate --deep`; may be repeated")  # fmt: skip
    add("--all", action="store_true", help="go on after a row's first fault, with each suite on a boot of its own")
    add("--time-limit", type=float, default=600.0, metavar="S", help="seconds for each run (default 600)")
    add("--clean", type=int, default=1, metavar="N",
        help="runs of the kernel without a bug, at least (default 1); 0: only of what has shown a row")  # fmt: skip
    add("--jobs", type=int, default=1, metavar="N", help="rows that run at a time (default 1)")
    add("--results", type=Path, action="append", default=[], metavar="FILE",
        help=f"may be repeated: the others are only read (default: {RESULTS})")  # fmt: skip
    add("--table", type=Path, nargs="?", const=PAGE, metavar="FILE",
        help="write the page afterwards, and beside it FILE.json, from which rows that were not run now keep what "
        "is said of them (default docs/scoreboard.md)")  # fmt: skip
    add("--whole", type=Path, action="append", default=[], metavar="RUN",
        help="with --table: the page tells of this run, too, of all default suites on a kernel without a bug (the "
        "directory of a `panthorlab run --kernel KEY`): how long, what it was blamed for, how much of the driver it "
        "executed; may be repeated")  # fmt: skip
    add("--no-run", action="store_true", help="build and run nothing: what is known already")
    cut = list(argv).index("--") if "--" in argv else len(argv)
    options = parser.parse_args(argv[:cut])
    if options.jobs < 1 or options.clean < 0 or not 10 <= options.time_limit <= 86400:
        parser.error("--jobs is at least 1, --clean 0, --time-limit is between 10 and 86400 seconds")
    if options.debug and not options.deep:
        parser.error("--debug says which kernel --deep builds: add that")
    if options.whole and not options.table:
        parser.error("--whole is for the page: add --table")
    if options.table and options.table.suffix == ".json":
        parser.error("--table names the page; its data go beside it, to FILE.json")
    if options.made_up and options.table:
        parser.error("--table is of real bugs alone")
    options.arguments = tuple(argv[cut + 1 :])
    results = RESULTS.with_name("mutants.jsonl") if options.made_up else RESULTS
    options.results = [file.resolve() for file in options.results or [results]]
    return options


def chosen_suites(names: Sequence[str], *, deep: bool) -> Mapping[str, Path]:
    """Those named; else all that have a test for a board without an overlay, with `deep` also if it is deep."""
    if names:
        return find_suites(names)
    suites = find_suites([f"{SUITES}/"])
    needs = [need for need in survey(suites.values()) if not need.overlay and (deep or not (need.deep or need.kernel))]
    return {name: file for name, file in suites.items() if any(need.suite == name for need in needs)}


def listing(rows: Sequence[Row]) -> str:
    return "\n".join(f"{row.id:32} {_in_short(row)}" for row in rows)


def _in_short(row: Row) -> str:
    return row.does if isinstance(row, Control) or not row.unshown else f"cannot be shown: {row.unshown}"


def machine() -> str:
    """The processor, how many of it, and how busy they are."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} × {names[0] if names else platform.machine()}, load {os.getloadavg()[0]:.1f} at the end"


def version() -> str:
    argv = ["git", "describe", "--always", "--dirty"]
    told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def known(board: Board, rows: Sequence[Row]) -> dict[str, State]:
    """What is on record of each row, from whatever kernel it needs."""
    every = {name: digest(file) for name, file in chosen_suites((), deep=True).items()}
    keys, states = core_keys(), dict[str, State]()
    for row in rows:
        try:
            states[row.id] = board.known(row, every, keys)
        except PanthorlabError as error:
            states[row.id] = State(result=Result.ERROR, errors=(f"not built: {error}",))
    return states


def play(board: Board, rows: Sequence[Row], *, jobs: int) -> dict[str, State]:
    """What is known of each row in the end. Kernels are built one after the other, while others run."""
    states: dict[str, State] = {}
    with ThreadPoolExecutor(jobs) as pool:
        playing: dict[str, Future[State]] = {}
        try:
            for row in rows:
                try:
                    built = board.build(row)
                except PanthorlabError as error:
                    print(f"{row.id:32} not built: {error}", file=sys.stderr)
                    states[row.id] = State(result=Result.ERROR, errors=(f"not built: {error}",))
                    continue
                board.play_clean(built)
                playing[row.id] = pool.submit(board.play, built)
            states |= {name: future.result() for name, future in playing.items()}
        except BaseException:
            board.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return states


def publish(page: Path, table: Table, board: Board, states: Mapping[str, State], whole: Mapping[str, Whole]) -> None:
    """The page, and its data: what is known now, and of all else what was said before."""
    data = page.with_suffix(".json")
    needs = {row.id: row.needs for row in table.rows}
    said = bug_published.read(data)
    patches = {row.id: digest(row.patch) for row in table.rows if row.files}
    published = bug_published.renew(said, states, board.records.all, needs=needs, whole=whole, patches=patches)
    suites = {name: digest(file) for name, file in find_suites([f"{SUITES}/"]).items()}
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    bug_published.write(data, published)
    write_whole(page, markdown(Scores(table, published, board.kernels, suites, date, machine(), patches)))


def main() -> int:
    options = parse(sys.argv[1:])
    table, mutants = load(), load_mutants() if options.made_up else None
    rows = choose(mutants or table, options.only)
    if options.list:
        print(listing(rows if options.only else (mutants or table).rows))
        return 0
    whole = read_whole(options.whole)
    with only_one(options.results[0]) if not options.no_run else nullcontext():
        return work(options, table, rows, whole)


def only_one(results: Path) -> AbstractContextManager[None]:
    """One run at a time: what another one adds to the file would be run a second time."""
    results.parent.mkdir(parents=True, exist_ok=True)

    def wait() -> None:
        print(f"waiting for another run that writes {results}", file=sys.stderr)

    return exclusive(results.with_name(f"{results.name}.lock"), str(results), wait, math.inf)


def work(options: argparse.Namespace, table: Table, rows: Sequence[Row], whole: Mapping[str, Whole]) -> int:
    board = Board(
        Settings(
            options.results[0],
            chosen_suites(options.suite, deep=options.deep),
            options.base,
            options.deep,
            options.all,
            options.time_limit,
            options.clean,
            options.arguments,
            version(),
            tuple(options.debug) or DEBUG,
        ),
        Records(options.results[0], options.results[1:]),
    )
    states = known(board, rows) if options.no_run else play(board, rows, jobs=options.jobs)
    if options.table:
        publish(options.table, table, board, states, whole)
        print(f"wrote {options.table}")
    print(summary(rows, states))
    blamed = any(isinstance(row, Control) and states[row.id].result is Result.SHOWN for row in rows)
    blamed = blamed or any(faults_of_clean(board.records.all, {key}) for key in board.kernels.values())
    failed = any(state.result is Result.ERROR for state in states.values())
    return 4 if failed else 1 if blamed else 0


def status() -> int:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell did that in the background; runs are ended by it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return main()
    except KeyboardInterrupt:
        print("interrupted; start it again to go on", file=sys.stderr)
        return 130
    except PanthorlabError as error:
        print(f"{error}\n  {error.hint or ''}".rstrip(), file=sys.stderr)
        return error.exit_status
    except OSError as error:
        if error.filename == STDOUT or error.errno not in MACHINE | UNREADABLE:
            raise
        print(f"{error}\n  disk full, no permission, or no such file? what was recorded is kept", file=sys.stderr)
        return PanthorlabError.exit_status


if __name__ == "__main__":
    sys.exit(guarded(status))
