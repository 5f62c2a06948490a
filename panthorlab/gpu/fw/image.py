# SPDX-License-Identifier: GPL-2.0-or-later
"""A synthetic `mali_csffw.bin`: panthor's loader accepts it, but it holds no code (this package is the firmware).

Source of the format: panthor_fw.c (Linux 6.12.117, 7.3.4).
"""

from __future__ import annotations

import struct

from panthorlab.gpu.layout import Layout

MAGIC = 0xC3F13A6E
HEADER = struct.Struct("<IBBHIII")  # magic, minor, major, padding, version hash, padding, size of the entries
SECTION = struct.Struct("<IIIIII")  # entry header, flags, va start, va end, data start, data end
METADATA = struct.Struct("<III")  # entry header, start, size (file offsets)

ENTRY_SECTION, ENTRY_BUILD_INFO = 0, 6
ENTRY_OPTIONAL = 1 << 31
READ, WRITE, EXECUTE, CACHED, SHARED_FLAG, ZERO = 1, 2, 4, 1 << 3, 1 << 30, 1 << 31

BUILD_INFO = b"git_sha: panthorlab synthetic firmware 1.1.0, not by Arm\0"


def build(layout: Layout) -> bytes:
    """Build the file: the shared interface section, which the model fills at boot, and build information for 7.x."""
    size = HEADER.size + SECTION.size + METADATA.size
    section = SECTION.pack(
        ENTRY_SECTION | SECTION.size << 8,
        READ | WRITE | SHARED_FLAG | ZERO,
        layout.shared,
        layout.shared + layout.shared_size,
        0,
        0,
    )
    # 6.12 does not know this entry and skips it because it is optional
    metadata = METADATA.pack(ENTRY_BUILD_INFO | METADATA.size << 8 | ENTRY_OPTIONAL, size, len(BUILD_INFO))
    return HEADER.pack(MAGIC, 0, 0, 0, 0x12345678, 0, size) + section + metadata + BUILD_INFO
