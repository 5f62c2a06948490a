# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of /dev/kmsg for error messages. (`panthorlab.kmsg` interprets them.)"""

from __future__ import annotations

from collections.abc import Sequence


def kernel_lines(kmsg: bytes, words: Sequence[str]) -> list[str]:
    """The records of a raw /dev/kmsg (`prio,seq,usec,flags;text`) with one of `words`, as `[seconds] text`."""
    lines = []
    for record in kmsg.decode("utf-8", "replace").splitlines():
        head, found, text = record.partition(";")
        fields = head.split(",")
        if found and len(fields) >= 3 and fields[2].isdigit() and any(word in text for word in words):
            lines.append(f"[{int(fields[2]) / 1e6:12.6f}] {text}")
    return lines
