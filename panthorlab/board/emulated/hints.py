# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel's text does for nobody, taken out of the copy that is booted.

**YIELD**, as a CPU executes it that has nobody to yield to: as NOP. `cpu_relax()` in a loop that polls is YIELD (Linux
6.12, asm/vdso/processor.h). QEMU gives the turn to another CPU there. With one CPU that is the same one, but QEMU has
left its translated code, looked at all its timers and come back, which takes a microsecond and more: some 13,000 times
in a client that opens the GPU and exits, for panthor polls up to 10,000 times before it waits for an interrupt. A CPU
without threads may treat YIELD as NOP (Arm ARM, DDI 0487, YIELD), and the Cortex-A ones of boards with these GPUs do.

**The caller's caller**, of a kernel that proves its locks and has nobody who wants to know it. Each time that it turns
interrupts on or off, it tells its tracepoints where, and unwinds the stack to find who called that (`CALLER_ADDR1`,
which is `return_address(1)` on arm64), before it is known whether anybody listens (Linux 6.12,
kernel/trace/trace_preemptirq.c). Otherwise tracers ask, and DEBUG_PREEMPT; what lockdep checks it is told without that.
It was 9 of 100 instructions of a debug kernel. So there that function returns 0, and the events `irq_enable` and
`irq_disable`, which no suite turns on, have no parent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

YIELD: Final = 0xD503203F.to_bytes(4, "little")
NOP: Final = 0xD503201F.to_bytes(4, "little")
_ASKS: Final = {"CONFIG_FTRACE=y", "CONFIG_DEBUG_PREEMPT=y"}
"""Those who want to know: tracers, and the "Preemption disabled at" of a debug kernel (include/linux/ftrace.h)."""
RETURN_0: Final = b"".join(word.to_bytes(4, "little") for word in (0xD280_0000, 0xD65F_03C0))
"""mov x0, #0; ret"""
_PLACE: Final = re.compile(r"^([0-9a-f]+) (?:\S (_text|_stext|_etext)|T (return_address))$", re.MULTILINE)


def without_hints(image: bytes, system_map: str, config: str) -> bytes:
    """The kernel `image` without both. `system_map`: its System.map, looked at once. `config`: its `.config`."""
    places = places_in(system_map)
    return without_callers(without_yields(image, places), places, config)


def places_in(system_map: str) -> dict[str, int]:
    """Where in an image, which begins at `_text`, the text begins and ends, and `return_address()` is; what the map
    lacks is left out, and all without `_text`."""
    found = {name or function: int(at, 16) for at, name, function in _PLACE.findall(system_map)}
    return {name: at - found["_text"] for name, at in found.items()} if "_text" in found else {}


def without_yields(image: bytes, places: Mapping[str, int]) -> bytes:
    """The kernel `image` with a NOP in place of each YIELD of its text; all else is where and what it was. As it is if
    it is not known where the text is."""
    first, end = places.get("_stext", -1), places.get("_etext", -1)
    if min(first, end) < 0:
        return image
    patched = bytearray(image)
    at = patched.find(YIELD, first, end)
    while at >= 0:
        if at % len(YIELD) == 0:
            patched[at : at + len(NOP)] = NOP
        at = patched.find(YIELD, at + 1, end)
    return bytes(patched)


def without_callers(image: bytes, places: Mapping[str, int], config: str) -> bytes:
    """The kernel `image`, whose `.config` is `config`, without the search for callers' callers that nobody wants to
    know; as it is if somebody may, or if no such function is in its text."""
    options = set(config.splitlines())
    if not {"CONFIG_PROVE_LOCKING=y", "CONFIG_ARM64=y"} <= options or options & _ASKS:
        return image
    at, first, end = (places.get(name, -1) for name in ("return_address", "_stext", "_etext"))
    if at % 4 or not 0 <= first <= at <= min(end, len(image)) - len(RETURN_0):
        return image
    return image[:at] + RETURN_0 + image[at + len(RETURN_0) :]
