# SPDX-License-Identifier: GPL-2.0-or-later
"""stdout and stderr that cannot change what a command says of the kernel: exit status 1 means the kernel, whatever
becomes of the streams.

stderr never raises: what nobody can read is dropped. stdout raises `OutputError` once when it cannot be written. What
its encoding lacks is escaped as `\\uXXXX`, which people can read and JSON understands. A stream that was closed is
opened again, so that no file of ours gets its number.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from typing import Any, TextIO

from panthorlab.errors import LabError

ESCAPE = "panthorlab.escape"


class OutputError(LabError):
    """stdout could not be written: whoever waits for the result did not get it."""


def prepare() -> None:
    """Make the process's streams safe. Streams that somebody has put in their place (a test) are left alone."""
    codecs.register_error(ESCAPE, _escape)
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            # stdout read-only: writing to it is an error, as it is for any program
            os.open(os.devnull, os.O_RDWR if fd == 2 else os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - empty, instead of not there
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(sys.stdout, _Output(1, "w", closefd=False), ESCAPE)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(sys.stderr, _Messages(2, "w", closefd=False), "backslashreplace")


def finish() -> None:
    """Write what is still buffered. Raises OutputError, BrokenPipeError."""
    sys.stdout.flush()
    sys.stderr.flush()


def abandon_output() -> None:
    """Nobody reads stdout: what is left of it goes nowhere, without a word when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class _Output(io.FileIO):
    _broken = False

    def write(self, data: Any) -> int:
        if self._broken:
            return len(data)
        try:
            return super().write(data)
        except BrokenPipeError:
            self._broken = True
            raise
        except OSError as error:
            self._broken = True
            raise OutputError(f"the result could not be written to stdout: {error.strerror}",
                              hint="give stdout a place with room; files of the run are not affected") from error


class _Messages(io.FileIO):
    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)
        return len(data)


def _text(old: TextIO | None, raw: io.FileIO, errors: str) -> TextIO:
    encoding = (old.encoding if old is not None else None) or "utf-8"
    interactive = raw.isatty() or isinstance(raw, _Messages)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=interactive)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start:error.end].encode("utf-16-be", "surrogatepass")
    units = [int.from_bytes(bad[at:at + 2], "big") for at in range(0, len(bad), 2)]
    return "".join(f"\\u{unit:04x}" for unit in units), error.end

