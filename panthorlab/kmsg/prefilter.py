# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lines of a log can begin a finding: by literal search, at a hundred MiB a second and more.

Such a line has one of the anchors below. Tests check that every known message has one, and that findings are equal with
and without this filter. Anchors with capitals or rare letters are first searched for in a projection of the block onto
these characters, a tenth of its size, and only if found there, in the block itself.
"""

from __future__ import annotations

import re

# The occurrences of an anchor that can be relevant.
_PAN = re.compile(
    rb"pan(?:(?:thor|frost|csf)(?: [^ \n]{0,64})?: "
    # their messages at every probe
    rb"(?!(?:\[drm\] )?(?:clock rate = |[Mm]ali-[^ \n]{1,16} id 0x|[Ff]eatures: |shader_present=|CSF FW v\d"
    rb"|CSF FW using |Firmware git sha: ))|(?:thor|frost|csf)(?:\]\] |-\w|'|\.ko| is blacklisted)"
    rb"|ic - not syncing)"
)
_MALI = re.compile(rb"mali(?:[-_.@][-\w.@]{1,32})?(?:\]\] |'|\.ko| is blacklisted|(?: [^ \n]{0,64})?: | failed to )")
_TYR = re.compile(rb"tyr(?:\]\] |-\w|'|\.ko| is blacklisted|(?: [^ \n]{0,64})?: )")
_SUPPLY = re.compile(rb"[^\n]*(?:gpu|mali)")
_DEVFREQ = re.compile(rb"devfreq [^ \n]{0,48}(?:\.gpu|mali)")
_DOMAIN = re.compile(rb"gpu'(?:(?<=domain 'gpu')|(?<=domain 'pd_gpu'))")
_LEFT = re.compile(rb"platform [^ \n]{0,64}gpu: \[drm")
_HANDLE = re.compile(rb"handle(?:d (?:Page|fault)| kernel)")

_PLAIN: tuple[tuple[bytes, re.Pattern[bytes] | None], ...] = (
    (b"pan", _PAN),  # panthor, panfrost, pancsf, Kernel panic
    (b"mali", _MALI),
    (b"tyr", _TYR),
    (b"handle", _HANDLE),  # Unhandled Page fault, Unhandled fault, Unable to handle kernel
    (b"[ cut here ]", None),
    (b"deferred probe", None),
    (b"gpu'", _DOMAIN),  # failed to get ack on domain 'gpu'
    (b"platform ", _LEFT),  # of a device that its driver has left
    (b"suspected memory leaks", None),
    (b"unreferenced object", None),
)
# (projection, anchor)
_PROJECTED: tuple[tuple[bytes, bytes, re.Pattern[bytes] | None], ...] = (
    (b"CSFA", b"CS_FA", None),
    (b"BUG", b"BUG", None),
    (b"WARNING", b"WARNING: ", None),
    (b"INFO", b"INFO: ", None),
    (b"SAN", b"SAN: ", None),
    (b"LOCKUP", b"LOCKUP", None),
    (b"MASSERT", b"Mali<ASSERT>", None),
    (b"#", b"[#", None),  # every die() numbers itself: Internal error: Oops: 96000004 [#1]
    (b"IO", b"Internal error: O", None),  # but a mailer may have put that on the next line
    (b"ISP", b"Internal error: S", None),
    (b"GFP", b"page allocation failure", None),
    (b"GFP", b"oom-killer", None),
    (b"ERROR", b"*ERROR* Trying to push to a killed entity", None),
    (b"ERROR", b"entity has no rq!", None),
    (b"ERROR", b"drm_sched_", None),
    (b"PMD", b"PM: Device ", None),
    (b"PM", b"dpm_run_callback", None),
    (b"IRQ", b"IRQ_WAKE_THREAD", None),
    (b"OK", b"Out of memory: Kill", None),
    (b"MK", b"Memory cgroup out of memory: Kill", None),
    (b"CIXH", b"CIXH5000:", None),
    (b"qbbq", b"nobody cared", None),  # irq 5: nobody cared (try booting with the "irqpoll" option)
    (b"qvbv", b"bogus return", None),  # irq event 5: bogus return value
    (b"vq", b"devfreq ", _DEVFREQ),
)
_OF_LINE: tuple[tuple[bytes, re.Pattern[bytes]], ...] = (
    (b"ailed to ", _SUPPLY),  # vdd_gpu_s0: failed to enable, clk: failed to reparent clk_gpu
)
"""Anchors with the pattern that a line with the anchor must match from its beginning."""
_PROJECTION = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ#bqv")
_NOT_PROJECTED = bytes(byte for byte in range(256) if byte not in _PROJECTION)


def interesting(block: bytes) -> list[int]:
    """Offsets, in order, of the lines of `block` (whole lines) that can begin a finding."""
    starts: set[int] = set()
    for anchor, wanted in _PLAIN:
        _collect(block, anchor, wanted, starts)
    projected = block.translate(None, _NOT_PROJECTED)
    for projection, anchor, wanted in _PROJECTED:
        if projection in projected:
            _collect(block, anchor, wanted, starts)
    for anchor, line in _OF_LINE:
        lines: set[int] = set()
        _collect(block, anchor, None, lines)
        starts.update(start for start in lines if line.match(block, start))
    return sorted(starts)


def _collect(block: bytes, anchor: bytes, wanted: re.Pattern[bytes] | None, starts: set[int]) -> None:
    if wanted:  # it begins (nearly) with the anchor, so it alone is faster than `find` and a match per hit
        starts.update(block.rfind(b"\n", 0, found.start()) + 1 for found in wanted.finditer(block))
        return
    find = block.find
    position = find(anchor)
    while position >= 0:
        starts.add(block.rfind(b"\n", 0, position) + 1)
        end = find(b"\n", position)
        if end < 0:
            return
        position = find(anchor, end)
