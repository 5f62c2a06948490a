# SPDX-License-Identifier: GPL-2.0-or-later
"""An argv as the one string that SSH passes to the board's login shell, and the wrapper that prints its process id.

Every word is quoted; the only shell code that runs on the board is in this module and in `remote_files.py`, as
constants that take words as parameters. Required: a login shell with POSIX quoting, `setsid`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from panthorlab.errors import LabError, UsageError

WRAPPER: Final = (
    "read -r a b c d g z </proc/$$/stat;"  # g: the process group
    'm=$1;shift;while [ "$1" != -- ];do export "$1";shift;done;shift;'
    'cd /;echo "$m $$" >&2&&echo "$m $$"||exit 125;'
    '[ "$g" = $$ ]||exec setsid "$@";exec "$@"'
)
"""Parameters: a mark, `NAME=value`…, `--`, argv. It prints `MARK PID` on stdout and stderr, after any output of the
login shell's start-up files, and then execs the command as leader of a process group, so that a kill reaches all its
children. OpenSSH has made a group already; Dropbear has not, and there `setsid` does not fork: the id stays valid."""

KILL: Final = 'read -r b </proc/sys/kernel/random/boot_id;[ "$b" = "$1" ]||exit 0;kill -9 "-$2" 2>/dev/null;exit 0'
"""Parameters: the boot-id from when the process id was read, and the process id. A later boot has other processes."""

LONGEST: Final = 120_000
"""Bytes of a command line: the kernel's limit for one word is 128 KiB (Dropbear's, 9000)."""
MOST_NOISE: Final = 1 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def command_line(mark: str, argv: Sequence[str], env: Mapping[str, str]) -> bytes:
    """`argv` in the wrapper, for the login shell. Raises UsageError for arguments that exec cannot take."""
    if not argv or not argv[0] or argv[0].startswith("-"):
        raise UsageError(f"not a program: {argv[0] if argv else 'an empty command'!r}")
    for name in env:
        if not _NAME.fullmatch(name):
            raise UsageError(f"not a name of an environment variable: {name!r}")
    words = ["/bin/sh", "-c", WRAPPER, "sh", mark, *(f"{name}={value}" for name, value in env.items()), "--", *argv]
    line = ("exec " + shlex.join(words)).encode("utf-8", "surrogateescape")
    if b"\0" in line:
        raise UsageError(f"a word of the command `{title(argv)}` holds a NUL")
    if len(line) > LONGEST:
        raise UsageError(
            f"the command `{title(argv)}` has {len(line)} bytes, more than a board takes ({LONGEST})",
            hint="pass long lists by a file or by stdin",
        )
    return line


def title(argv: Sequence[str]) -> str:
    """The command for messages."""
    return " ".join(argv)[:200]


class Preamble:
    """Strips the output of one stream up to `MARK PID`, i.e. from before the command starts."""

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode() + b" "
        self.noise = bytearray()
        self.pid: int | None = None

    def feed(self, data: bytes) -> bytes:
        """The command's output in `data`. Raises LabError if the mark does not come."""
        if self.pid is not None:
            return data
        self.noise += data
        start = self.noise.find(self._mark)
        end = self.noise.find(b"\n", start)
        if start < 0 or end < 0:
            if len(self.noise) > MOST_NOISE:
                raise LabError(
                    "the login shell of the board talks without end before it runs a command",
                    hint="see its start-up files on the board, e.g. ~/.bashrc",
                )
            return b""
        self.pid = int(self.noise[start + len(self._mark) : end])
        rest = bytes(self.noise[end + 1 :])
        del self.noise[start:]
        return rest
