# SPDX-License-Identifier: GPL-2.0-or-later
"""What the firmware says of itself when it boots: the control blocks, from which the driver learns how many groups and
streams there are, and where their input and output pages lie.

On request it says something else (misdeed `interface`). Control blocks are then where the strides that it told lead to,
counted in 32 bits; one that would be outside of the section is not written.
"""

from __future__ import annotations

from collections.abc import Iterable

from panthorlab.gpu.fw import layout, suspend
from panthorlab.gpu.fw.layout import CsControl, CsgControl, GlbControl
from panthorlab.gpu.fw.memory import McuMemory
from panthorlab.gpu.misbehave import Misbehaviour

Fields = Iterable[tuple[str, int, int]]  # name, offset in its block, value
WORD = 4
MASK = 0xFFFFFFFF

GLOBAL: Fields = (
    ("glb-version", GlbControl.VERSION, layout.VERSION), ("glb-features", GlbControl.FEATURES, 0),
    ("glb-input", GlbControl.INPUT, layout.GLB_INPUT), ("glb-output", GlbControl.OUTPUT, layout.GLB_OUTPUT),
    ("glb-group-num", GlbControl.GROUP_NUM, layout.GROUPS),
    ("glb-group-stride", GlbControl.GROUP_STRIDE, layout.GROUP_STRIDE),
    ("glb-perfcnt-size", GlbControl.PERFCNT_SIZE, 0),
    ("glb-instr-features", GlbControl.INSTR_FEATURES, layout.INSTR_FEATURES),
)


def _group(group: int) -> Fields:
    return (
        ("csg-features", CsgControl.FEATURES, 0),
        ("csg-input", CsgControl.INPUT, layout.csg_input(group)),
        ("csg-output", CsgControl.OUTPUT, layout.csg_output(group)),
        ("csg-suspend-size", CsgControl.SUSPEND_SIZE, suspend.SIZE),
        ("csg-protm-suspend-size", CsgControl.PROTM_SUSPEND_SIZE, layout.PROTM_SUSPEND_SIZE),
        ("csg-stream-num", CsgControl.STREAM_NUM, layout.STREAMS),
        ("csg-stream-stride", CsgControl.STREAM_STRIDE, layout.STREAM_STRIDE),
    )


def _stream(group: int, stream: int) -> Fields:
    return (
        ("cs-features", CsControl.FEATURES, layout.CS_FEATURES),
        ("cs-input", CsControl.INPUT, layout.cs_input(group, stream)),
        ("cs-output", CsControl.OUTPUT, layout.cs_output(group, stream)),
    )


def publish(memory: McuMemory, misbehaviour: Misbehaviour) -> None:
    """Write all control blocks. Raises McuMemoryError."""
    glb = _put(memory, 0, GLOBAL, _told(GLOBAL, misbehaviour, None))
    for group in range(min(glb["glb-group-num"], layout.GROUPS)):
        at = layout.GROUP_CONTROL + group * glb["glb-group-stride"] & MASK
        csg = _put(memory, at, _group(group), _told(_group(group), misbehaviour, group))
        for stream in range(layout.STREAMS):
            there = at + layout.STREAM_CONTROL + stream * csg["csg-stream-stride"] & MASK
            _put(memory, there, _stream(group, stream), _told(_stream(group, stream), misbehaviour, group))


def _put(memory: McuMemory, offset: int, fields: Fields, told: dict[str, int]) -> dict[str, int]:
    for name, field, _ in fields:
        if offset + field + WORD <= layout.SHARED_SIZE:
            memory.put(layout.SHARED + offset + field, told[name])
    return told


def _told(fields: Fields, misbehaviour: Misbehaviour, slot: int | None) -> dict[str, int]:
    if "interface" not in misbehaviour.watched:
        return {name: value for name, _, value in fields}
    told = {}
    for name, _, value in fields:
        rule = misbehaviour.strikes("interface", slot, field=name)
        told[name] = value if rule is None else rule.value
    return told
