# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard streams that cannot change what an exit status means.

Python ends with 1 or 120 if it cannot write to stdout or stderr, be they full, closed, or of an encoding that lacks a
character; but 1 blames the kernel under test. Here a broken stderr changes nothing, a broken stdout is an error of its
own, and what cannot be encoded is escaped, in the way of JSON, so that JSON stays JSON.
"""

from __future__ import annotations

import codecs
import io
import locale
import os
import select
import sys
import traceback
from collections.abc import Callable
from typing import Final

ESCAPES: Final = "json-escapes"
STDOUT: Final = "<stdout>"
"""`filename` of an OSError that standard output raised."""
LAB: Final = 4
"""Exit status of everything that is not the kernel's fault (docs/commands.md)."""


class _Stream(io.RawIOBase):
    """A file descriptor to write to. The first failure is kept in `error`, and raised if `loud`; what comes after it
    goes nowhere, so that nothing fails again when the interpreter ends."""

    def __init__(self, fd: int, *, loud: bool) -> None:
        super().__init__()
        self._fd, self._loud = fd, loud
        self.error: OSError | None = None

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write(self, data: object, /) -> int:
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        while self.error is None:
            try:
                return os.write(self._fd, view)
            except BlockingIOError:  # somebody made it non-blocking
                select.select([], [self._fd], [])
            except OSError as error:
                self.error = error
                if self._loud:
                    error.filename = STDOUT
                    raise
        return len(view)


def escape(error: UnicodeError) -> tuple[str, int]:
    r"""Error handler for encoding: `\uXXXX` for each unit of UTF-16, which is what JSON allows."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end


def guarded(main: Callable[[], int]) -> int:
    """Run `main` as a process's whole work, on streams made safe; the exit status, with everything written by then.

    Whatever `main` lets through is a bug of panthorlab, and never status 1.
    """
    _utf8_mode()
    out, err = _make_safe()
    try:
        status = main()
        sys.stdout.flush()
    except SystemExit as leaving:  # argparse, after --help
        status = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else LAB
    except KeyboardInterrupt:
        status = 130
    except BaseException as error:
        if error is not out.error:
            traceback.print_exc()
        status = LAB
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        status = status or LAB
    if out.error is not None and not isinstance(out.error, BrokenPipeError):
        print(
            f"panthorlab: standard output could not be written: {out.error.strerror}\n"
            "  hint: the command's result is lost, not the kernel's fault; run directories keep theirs "
            "(`panthorlab report RUN`)",
            file=sys.stderr,
        )
        status = 130 if status == 130 else LAB
    if err.error is None:
        sys.stderr.flush()
    return status


def _utf8_mode() -> None:
    """Start again with UTF-8 for files and arguments, if the locale has another encoding: our files are UTF-8, and
    each is opened by its name alone somewhere. The streams keep the terminal's."""
    if sys.flags.utf8_mode or codecs.lookup(locale.getpreferredencoding(False)).name == "utf-8" or not sys.executable:
        return
    streams = getattr(sys.stdout, "encoding", None) or "ascii"
    kept = os.environ.copy() | {"PYTHONUTF8": "1", "PYTHONIOENCODING": os.environ.get("PYTHONIOENCODING") or streams}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept)  # noqa: S606 - ourselves


def _make_safe() -> tuple[_Stream, _Stream]:
    """Standard output and error on the same descriptors, which are open when this returns."""
    encodings = [getattr(stream, "encoding", None) or "utf-8" for stream in (sys.stdout, sys.stderr)]
    os.environ.pop("PYTHONIOENCODING", None)  # it was meant for these two, and not for what workers write to files
    # Else the next file to be opened would become standard output, and be written over. Reading or writing these is
    # an error, as it was when they were closed; that stderr goes nowhere is all the same.
    for fd, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, mode)  # the lowest free one
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
            os.set_inheritable(fd, True)
    codecs.register_error(ESCAPES, escape)
    out, err = _Stream(1, loud=True), _Stream(2, loud=False)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.BufferedWriter(raw), encoding, ESCAPES, line_buffering=lines, write_through=raw is err)
        for raw, encoding, lines in ((out, encodings[0], out.isatty()), (err, encodings[1], True))
    )
    return out, err
