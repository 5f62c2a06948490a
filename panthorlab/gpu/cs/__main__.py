# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m panthorlab.gpu.cs disasm FILE|HEX...`: command stream code to text.

FILE is raw little-endian memory (`-`: standard input); a HEX word has 16 digits, most significant first, as in a log.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from panthorlab.gpu.cs.codec import disassemble
from panthorlab.gpu.cs.v10 import V10

_WORD = re.compile(r"(0[xX])?[0-9a-fA-F_]{1,17}")


def _code(sources: list[str]) -> bytes:
    if all(_WORD.fullmatch(source) and not Path(source).exists() for source in sources):
        return b"".join((int(source, 16) & (1 << 64) - 1).to_bytes(8, "little") for source in sources)
    return b"".join(sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes() for source in sources)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m panthorlab.gpu.cs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    disasm = commands.add_parser("disasm", help="disassemble")
    disasm.add_argument("source", nargs="+", metavar="FILE|HEX")
    disasm.add_argument("--va", type=lambda text: int(text, 0), default=0, help="address of the first word")
    arguments = parser.parse_args(argv)
    try:
        code = _code(arguments.source)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    for line in disassemble(V10, code, arguments.va):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
