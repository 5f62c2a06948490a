# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's YIELD instructions as a CPU executes them that has nobody to yield to: as NOPs.

`cpu_relax()` in a loop that polls is YIELD (Linux 6.12, asm/vdso/processor.h). QEMU gives the turn to another CPU
there. With one CPU that is the same one, but QEMU has left its translated code, looked at all its timers and come back,
which takes a microsecond and more: some 13,000 times in a client that opens the GPU and exits, for panthor polls up to
10,000 times before it waits for an interrupt. A CPU without threads may treat YIELD as NOP (Arm ARM, DDI 0487, YIELD),
and the Cortex-A ones of boards with these GPUs do.
"""

from __future__ import annotations

import re
from typing import Final

YIELD: Final = 0xD503203F.to_bytes(4, "little")
NOP: Final = 0xD503201F.to_bytes(4, "little")
_PLACE: Final = re.compile(r"^([0-9a-f]+) \S (_text|_stext|_etext)$", re.MULTILINE)


def without_yields(image: bytes, system_map: str) -> bytes:
    """The kernel `image` with a NOP in place of each YIELD of its text; all else is where and what it was.

    `system_map`: its System.map. An image begins at `_text`. Where the text is cannot be told of a map that lacks one
    of the symbols: that image is returned as it is.
    """
    places = {name: int(at, 16) for at, name in _PLACE.findall(system_map)}
    if len(places) < 3:
        return image
    first, end = (places[name] - places["_text"] for name in ("_stext", "_etext"))
    patched = bytearray(image)
    at = patched.find(YIELD, first, end)
    while at >= 0:
        if at % len(YIELD) == 0:
            patched[at : at + len(NOP)] = NOP
        at = patched.find(YIELD, at + 1, end)
    return bytes(patched)
