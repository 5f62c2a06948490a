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
from typing import Final

from panthorlab.errors import LabError, PanthorlabError
from panthorlab.options import parse
from panthorlab.text import readable

# What the machine can do to any write or fork; not worth a traceback.
MACHINE_ERRORS: Final = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE,
    errno.ENOMEM, errno.EAGAIN, errno.ENAMETOOLONG,
})  # fmt: skip

# command -> module:function; modules are imported only when their command runs, so `--help` is instant.
COMMANDS = {
    "validate": "panthorlab.run.validate:main",
    "check": "panthorlab.run.check:main",
    "run": "panthorlab.run.single:main",
    "resume": "panthorlab.run.validate:resume_main",
    "build": "panthorlab.run.build:main",
    "scan": "panthorlab.run.tools:scan",
    "report": "panthorlab.run.tools:report",
    "boards": "panthorlab.run.boards:main",
    "doctor": "panthorlab.run.tools:doctor",
    "lava": "panthorlab.lava.main:main",
}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["gpu"]:
        from panthorlab.gpu.__main__ import main as gpu_main

        return gpu_main(arguments[1:])
    as_json = "--json" in (arguments[: arguments.index("--")] if "--" in arguments else arguments)
    try:
        for signum in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(signum) is signal.SIG_DFL:  # as Ctrl-C: stop what runs, and say how to go on
                signal.signal(signum, signal.default_int_handler)
        options = parse(arguments)
        module, _, function = COMMANDS[options.name].partition(":")
        status = int(getattr(importlib.import_module(module), function)(options))
        sys.stdout.flush()
    except PanthorlabError as error:
        return _failed(error.exit_status, str(error), error.hint, as_json=as_json)
    except KeyboardInterrupt:
        return _failed(130, "interrupted", None, as_json=as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0 if arguments[0] == "scan" else LabError.exit_status  # whoever read the verdict did not get it
    except OSError as error:
        if error.errno not in MACHINE_ERRORS:
            return _bug(error, as_json=as_json)
        return _failed(LabError.exit_status, str(error), "disk full, or no permission? nothing was lost by it",
                       as_json=as_json)
    except Exception as error:  # exit status 1 would blame the kernel under test
        return _bug(error, as_json=as_json)
    return status


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
