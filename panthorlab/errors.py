# SPDX-License-Identifier: GPL-2.0-or-later
"""Every error a user can meet, as a type: the type decides the exit status and who is to blame.

The command line prints `str(error)` and, under it, `error.hint`: what to do next. Nothing else is printed for
these; any other exception is a bug of panthorlab and keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path


class PanthorlabError(Exception):
    """Base of all expected errors.

    `exit_status`: process exit status (`docs/commands.md`). `blame`: `kernel`, `test` or `lab`. `final`: trying
    again would not help.
    """

    exit_status = 4
    blame = "lab"
    final = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(PanthorlabError):
    """Wrong options or bad input; the user can mend it."""

    exit_status = 2
    blame = "test"
    final = True


class PatchError(UsageError):
    """A patch that is none, or that does not apply; the message carries the hunk and file:line."""


class SourceError(UsageError):
    """A kernel tree that is missing, of another project, or without panthor."""


class ConfigError(UsageError):
    """A board file, kernel fragment or suite that is wrong at `file:line:column` (1-based)."""

    def __init__(
        self,
        message: str,
        *,
        file: Path | str,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        where = ":".join(str(part) for part in (file, line, column) if part is not None)
        super().__init__(f"{where}: {message}", hint=hint)
        self.file, self.line, self.column = str(file), line, column


class BuildError(PanthorlabError):
    """The compiler or linker refused a kernel. Exit status 1 if only *after* is refused, else 4 (decided above)."""

    blame = "kernel"

    def __init__(self, message: str, *, log: Path | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.log = log


class BootError(PanthorlabError):
    """A kernel was started and did not come up; by default the kernel's fault."""

    exit_status = 1
    blame = "kernel"


class LabError(PanthorlabError):
    """Infrastructure failed: no network, full disk, QEMU or the GPU model died, a board did not answer."""


class EvidenceError(LabError):
    """The evidence has a hole: marker missing, sequence gap, wrong build-id. Never a pass."""
