# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: dispatch, and errors as people and programs see them. Exit statuses: `docs/commands.md`."""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.files import MACHINE
from panthorlab.paths import cache_path, settle_cache
from panthorlab.streams import STDOUT, guarded
from panthorlab.text import readable

# command -> module:function; modules are imported only when their command runs, so `--help` is instant.
COMMANDS = {
    "validate": "panthorlab.run.validate:main",
    "check": "panthorlab.run.check:main",
    "run": "panthorlab.run.single:main",
    "matrix": "panthorlab.run.matrix:main",
    "bisect": "panthorlab.run.bisect.command:main",
    "bisect-step": "panthorlab.run.bisect.step:main",
    "nightly": "panthorlab.nightly.command:main",
    "fuzz": "panthorlab.run.fuzzing:main",
    "explore": "panthorlab.run.explore.command:main",
    "record": "panthorlab.run.recording:main",
    "replay": "panthorlab.run.replay:main",
    "replay-trace": "panthorlab.mmio.main:main",
    "resume": "panthorlab.run.validate:resume_main",
    "build": "panthorlab.run.build:main",
    "b4-check": "panthorlab.run.b4check:main",
    "scan": "panthorlab.run.tools:scan",
    "report": "panthorlab.run.tools:report",
    "history": "panthorlab.history.main:main",
    "runs": "panthorlab.history.listing:main",
    "compare": "panthorlab.history.changes:main",
    "prune": "panthorlab.history.prune:main",
    "notify": "panthorlab.notify.main:main",
    "boards": "panthorlab.run.boards:main",
    "doctor": "panthorlab.run.tools:doctor",
    "overlay": "panthorlab.run.overlays:main",
    "suites": "panthorlab.run.tools:suites",
    "completion": "panthorlab.completion:main",
    "lava": "panthorlab.lava.main:main",
}


# Whoever closes the pipe to these has seen enough. Of the others nobody got the verdict.
LISTS = frozenset({"scan", "boards", "gpu", "suites", "completion", "history", "runs", "compare"})
INTERRUPTED = 130
LONGEST_NAME = 255
"""Bytes of a file's name, at most."""
CANNOT_BE_JUDGED = 125
"""What `bisect-step` says to git of all errors: 1 to 124 would call the commit bad."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status of the command line; without `argv`, of this process, whatever its streams are."""
    return guarded(lambda: _main(sys.argv[1:])) if argv is None else _main(list(argv))


def _main(arguments: list[str]) -> int:
    status, judged = _carried_out(arguments)
    if arguments[:1] == ["bisect-step"] and not judged and status != INTERRUPTED:
        return CANNOT_BE_JUDGED
    return status


def _carried_out(arguments: list[str]) -> tuple[int, bool]:
    """The exit status, and whether it is the command's own."""
    as_json = "--json" in (arguments[: arguments.index("--")] if "--" in arguments else arguments)
    try:
        if arguments[:1] == ["gpu"]:
            from panthorlab.gpu.__main__ import main as gpu_main

            status = gpu_main(arguments[1:])
            sys.stdout.flush()
            return status, True
        settle_cache()
        for signum in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(signum) is signal.SIG_DFL:  # as Ctrl-C: stop what runs, and say how to go on
                signal.signal(signum, signal.default_int_handler)
        from panthorlab.options import parse  # what cannot be imported must not end in status 1 either

        options = parse(arguments)
        if getattr(options, "no_jail", False):
            from panthorlab.kernel.jail.sandbox import without_jail

            without_jail()
        module, _, function = COMMANDS[options.name].partition(":")
        status = int(getattr(importlib.import_module(module), function)(options))
        sys.stdout.flush()
    except PanthorlabError as error:
        return _failed(error.exit_status, str(error), error.hint, as_json=as_json), False
    except KeyboardInterrupt:
        return _failed(INTERRUPTED, "interrupted", None, as_json=as_json), False
    except OSError as error:
        if error.filename == STDOUT:
            judges = "--fail-on" in arguments or not LISTS.intersection(arguments[:1])
            if judges or not isinstance(error, BrokenPipeError):
                raise
            return 0, False
        if error.errno not in MACHINE:
            return _bug(error, as_json=as_json), False
        if error.errno == errno.ENAMETOOLONG and any(len(os.fsencode(each)) > LONGEST_NAME for each in arguments):
            name = f"{str(error.filename)[:40]}…"
            return _failed(
                UsageError.exit_status, f"no file has so long a name: {name}", "shorten it", as_json=as_json
            ), False
        hint = "disk full, or no permission? nothing was lost by it"
        if error.errno in (errno.EACCES, errno.EPERM) and str(error.filename).startswith(f"{cache_path()}/"):
            hint = "the cache is not yours to use: set XDG_CACHE_HOME to a directory that you may write to"
        return _failed(LabError.exit_status, str(error), hint, as_json=as_json), False
    except Exception as error:  # exit status 1 would blame the kernel under test
        return _bug(error, as_json=as_json), False
    return status, True


def _bug(error: Exception, *, as_json: bool) -> int:
    traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}"
    return _failed(LabError.exit_status, what, "this is a bug of panthorlab; please report it", as_json=as_json)


def _failed(status: int, message: str, hint: str | None, *, as_json: bool) -> int:
    """Say what went wrong: on stderr for people and, if asked for, as JSON on stdout."""
    message = readable(message)
    print(f"panthorlab: {message}", file=sys.stderr)
    if hint:
        print(f"  hint: {readable(hint)}", file=sys.stderr)
    if as_json:
        verdict = "error" if status == LabError.exit_status else None
        print(json.dumps({"verdict": verdict, "exit": status, "error": message, "hint": hint}, indent=1), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
