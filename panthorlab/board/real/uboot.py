# SPDX-License-Identifier: GPL-2.0-or-later
"""Talking to U-Boot over the console: stop autoboot, set the environment, load files and prove that they are whole."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Final

from panthorlab.board.real.file import RealTimeLimits, UBoot
from panthorlab.board.real.parts import Dialogue
from panthorlab.errors import LabError

AUTOBOOT: Final = rb"Hit any key to stop autoboot|[Aa]utoboot in \d+|Press .{1,30} to (?:abort|stop)"
_QUICK: Final = 20.0
# U-Boot's console buffer (CONFIG_SYS_CBSIZE) is 256 bytes on small boards.
_LINE: Final = 200
_UNSAFE = re.compile(r"['\"\\$;&|\x00-\x1f\x7f-\xff]")


def quote(text: str) -> str:
    """One word for U-Boot's hush shell, which has no way to write some characters. Raises LabError for those."""
    bad = _UNSAFE.search(text)
    if bad:
        raise LabError(f"U-Boot cannot be given {bad.group()!r}, in: {text}", hint="leave it out of the command line")
    return f"'{text}'"


def pack(text: str, limit: int) -> list[str]:
    """The words of `text`, packed into as few pieces of at most `limit` characters as their order allows; a longer word
    is a piece of its own."""
    pieces: list[str] = []
    for word in text.split():
        if pieces and len(pieces[-1]) + 1 + len(word) <= limit:
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    return pieces


class UBootShell:
    """U-Boot at its prompt. Every method raises LabError at its deadline, naming the step."""

    def __init__(self, dialogue: Dialogue, section: UBoot, limits: RealTimeLimits) -> None:
        self._dialogue, self._section, self._limits = dialogue, section, limits
        # At the start of a word: U-Boot's own `crc32 … ==> 512056c0` is no prompt.
        self._prompt = rb"(?<!\S)" + re.escape(section.prompt.strip().encode())

    def stop_autoboot(self) -> None:
        """Get from power-on to the prompt. The key is sent at the countdown and repeated until the prompt comes: a key
        before U-Boot listens is lost, and noise can corrupt a prompt."""
        self._dialogue.expect(AUTOBOOT, self._prompt, timeout=self._limits.uboot, what="U-Boot's autoboot countdown")
        self._dialogue.send(self._section.interrupt)
        self._dialogue.expect(self._prompt, timeout=self._limits.uboot, what="U-Boot's prompt", nudge="\x03")

    def run(self, command: str, *, timeout: float = _QUICK) -> str:
        """One command. Raises LabError if U-Boot does not know it."""
        output = self._dialogue.command(command, prompt=self._prompt, timeout=timeout).decode("utf-8", "replace")
        if "Unknown command" in output:
            raise LabError(
                f"this U-Boot has no command `{command.split()[0]}`: {output.strip()}",
                hint="use another boot method, or a U-Boot with that command",
            )
        return output

    def succeed(self, command: str, *, timeout: float = _QUICK) -> str:
        """One command that must end with status 0."""
        output = self.run(f"{command} && echo panthorlab-done || echo panthorlab-failed", timeout=timeout)
        # The echo of the command line has both words, its result stands alone on a line.
        if not re.search(r"^\s*panthorlab-done\s*$", output, re.MULTILINE):
            raise LabError(f"U-Boot: `{command}` failed:\n{output.strip()[-800:]}")
        return output

    def set(self, name: str, value: str) -> None:
        """Set an environment variable (not saved), in pieces that fit U-Boot's line."""
        joined = ""  # setenv joins its arguments with single spaces
        for piece in pack(value, _LINE):
            self.succeed(f"setenv {name} {joined}{quote(piece)}")
            joined = f'"${{{name}}}" '

    def load_tftp(self, address: str, name: str, source: Path) -> None:
        """TFTP `name` to `address`, and check that it equals `source` (size, and CRC-32 computed by U-Boot)."""
        data = source.read_bytes()
        output = self.run(f"tftpboot {address} {name}", timeout=self._limits.load)
        found = re.search(r"Bytes transferred = (\d+)", output)
        if not found:
            raise LabError(
                f"U-Boot could not load {name} by TFTP:\n{output.strip()[-800:]}",
                hint="does the TFTP server run, does the board reach it, is the file in its directory?",
            )
        if int(found[1]) != len(data):
            raise LabError(
                f"U-Boot got {found[1]} of {len(data)} bytes of {name}",
                hint="another file of that name on the TFTP server, or a full disk there?",
            )
        wanted = f"{zlib.crc32(data):08x}"
        output = self.run(f"crc32 {address} {len(data):x}", timeout=self._limits.load)
        got = re.search(r"==>\s*([0-9a-f]{8})", output)
        if got is None or got[1] != wanted:
            raise LabError(
                f"what U-Boot loaded as {name} is not what was built: CRC-32 {got[1] if got else '?'}, wanted {wanted}"
            )

    def boot(self, kernel: str, ramdisk: str | None, fdt: str) -> None:
        """booti. Returns when the command is sent; the caller waits for the kernel's first line."""
        self._dialogue.send(f"booti {kernel} {ramdisk or '-'} {fdt}\r")
        self._dialogue.expect(rb"Starting kernel|Booting Linux on", timeout=_QUICK, what="`booti`")
