# SPDX-License-Identifier: GPL-2.0-or-later
"""U-Boot of the virtual board: Debian's binary, and the flash that holds its environment."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from panthorlab import debs
from tests.virtual_lab.packages import unpacked

PACKAGES = ("u-boot-qemu",)
ENVIRONMENT = Path(__file__).with_name("uboot.env")
FLASH_SIZE = 64 << 20
ENV_SIZE = 0x40000


def binary(on_progress: debs.ProgressCallback) -> Path:
    """Raises LabError if it cannot be had."""
    return unpacked(PACKAGES, debs.architecture(), on_progress) / "usr/lib/u-boot/qemu_arm64/u-boot.bin"


def parse_environment(text: str) -> dict[str, str]:
    """`name=value` lines; empty ones and `#` comments are skipped. Raises ValueError."""
    variables = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise ValueError(f"line {number} is not `name=value`: {line!r}")
        variables[name] = value
    return variables


def environment_image(variables: Mapping[str, str]) -> bytes:
    """As U-Boot keeps it in flash: CRC-32, then `name=value` strings, each ended by NUL, and one more NUL."""
    strings = b"".join(f"{name}={value}".encode() + b"\0" for name, value in sorted(variables.items()) if value)
    data = (strings + b"\0").ljust(ENV_SIZE - 4, b"\xff")
    if len(data) + 4 > ENV_SIZE:
        raise ValueError(f"the environment is larger than {ENV_SIZE} bytes")
    return struct.pack("<I", zlib.crc32(data)) + data


def write_flash(path: Path) -> None:
    """The second bank of the machine's flash, as it leaves the factory."""
    with path.open("wb") as file:
        file.write(environment_image(parse_environment(ENVIRONMENT.read_text())))
        file.truncate(FLASH_SIZE)
