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
from typing import Final

YIELD: Final = 0xD503203F.to_bytes(4, "little")
NOP: Final = 0xD503201F.to_bytes(4, "little")
_ASKS: Final = {"CONFIG_FTRACE=y", "CONFIG_DEBUG_PREEMPT=y"}
"""Those who want to know: tracers, and the "Preemption disabled at" of a debug kernel (include/linux/ftrace.h)."""
RETURN_0: Final = b"".join(word.to_bytes(4, "little") for word in (0xD280_0000, 0xD65F_03C0))
"""mov x0, #0; ret"""
_PLACE: Final = re.compile(r"^([0-9a-f]+) \S (_text|_stext|_etext)$", re.MULTILINE)
_CALLERS: Final = re.compile(r"^([0-9a-f]+) T return_address$", re.MULTILINE)


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


def without_callers(image: bytes, system_map: str, config: str) -> bytes:
    """The kernel `image`, whose `.config` is `config`, without the search for callers' callers that nobody wants to
    know; as it is if somebody may, or if there is none."""
    options = set(config.splitlines())
    if not {"CONFIG_PROVE_LOCKING=y", "CONFIG_ARM64=y"} <= options or options & _ASKS:
        return image
    text = next((int(at, 16) for at, name in _PLACE.findall(system_map) if name == "_text"), None)
    callers = _CALLERS.search(system_map)
    if text is None or callers is None:
        return image
    at = int(callers[1], 16) - text
    return image[:at] + RETURN_0 + image[at + len(RETURN_0) :]
