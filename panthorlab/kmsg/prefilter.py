# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lines of a log can begin a finding: by literal search, at a hundred MiB a second and more.

Such a line has one of the anchors below; every message we know has one (tests hold this for all of them, and that
findings are equal with and without this filter). Anchors with capitals are first looked for in a projection of the
block onto its capitals, a twentieth of its size; only if they are there, in the block itself.
"""

from __future__ import annotations

import re

# The occurrences of an anchor that can mean something.
_PAN = re.compile(
    rb"pan(?:(?:thor|frost|csf)(?: [^ \n]{0,64})?: "
    # what they say at every probe
    rb"(?!(?:\[drm\] )?(?:clock rate = |[Mm]ali-[^ \n]{1,16} id 0x|[Ff]eatures: |shader_present=|CSF FW v\d"
    rb"|CSF FW using |Firmware git sha: ))|(?:thor|frost|csf)\]\] |ic - not syncing)"
)
_MALI = re.compile(rb"mali(?:[-_.@][-\w.@]{1,32})?(?:\]\] |(?: [^ \n]{0,64})?: | failed to )")
# what has the driver's name before the device is found by that, or is what it says at every probe
_GPU = re.compile(
    rb"\.gpu(?:: (?!\[drm|(?:bus_)?clock rate = |[Mm]ali-|[Ff]eatures: |shader_present=|Adding to )"
    rb"| failed to )"
)
_HANDLE = re.compile(rb"handle(?:d (?:Page|fault)| kernel)")

_PLAIN: tuple[tuple[bytes, re.Pattern[bytes] | None], ...] = (
    (b"pan", _PAN),  # panthor, panfrost, pancsf, Kernel panic
    (b"mali", _MALI),
    (b"handle", _HANDLE),  # Unhandled Page fault, Unhandled fault, Unable to handle kernel
    (b"[ cut here ]", None),
    (b".gpu", _GPU),
    (b"gpu'", None),  # a power domain: failed to get ack on domain 'gpu'
    (b"dpm_run_callback", None),
    (b"_sched", None),  # [drm:drm_sched_entity_push_job [gpu_sched]] *ERROR*
    (b"nobody cared", None),
    (b": bogus return", None),
    (b"page allocation failure", None),
    (b"oom-killer", None),
    (b"Internal error", None),
    (b"suspected memory leaks", None),
    (b"unreferenced object", None),
)
# (projection, anchor)
_CAPITALS: tuple[tuple[bytes, bytes], ...] = (
    (b"CSFA", b"CS_FA"),
    (b"BUG", b"BUG"),
    (b"WARNING", b"WARNING: "),
    (b"INFO", b"INFO: "),
    (b"SAN", b"SAN: "),
    (b"LOCKUP", b"LOCKUP"),
    (b"#", b"[#"),  # every die() numbers itself: Internal error: Oops: 96000004 [#1]
)
_NOT_CAPITAL = bytes(byte for byte in range(256) if not (65 <= byte <= 90 or byte == ord("#")))


def interesting(block: bytes) -> list[int]:
    """Offsets, in order, of the lines of `block` (whole lines) that can begin a finding."""
    starts: set[int] = set()
    for anchor, wanted in _PLAIN:
        _collect(block, anchor, wanted, starts)
    capitals = block.translate(None, _NOT_CAPITAL)
    for projection, anchor in _CAPITALS:
        if projection in capitals:
            _collect(block, anchor, None, starts)
    return sorted(starts)


def _collect(block: bytes, anchor: bytes, wanted: re.Pattern[bytes] | None, starts: set[int]) -> None:
    find = block.find
    match = wanted.match if wanted else None
    position = find(anchor)
    while position >= 0:
        if match and not match(block, position):
            position = find(anchor, position + len(anchor))
            continue
        starts.add(block.rfind(b"\n", 0, position) + 1)
        end = find(b"\n", position)
        if end < 0:
            return
        position = find(anchor, end)
