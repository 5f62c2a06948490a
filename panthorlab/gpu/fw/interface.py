# SPDX-License-Identifier: GPL-2.0-or-later
"""The control blocks that the firmware writes at boot. From them the driver learns the number of groups and streams and
the addresses of their input and output blocks.

Misdeed `interface` replaces values of fields. If it replaces a stride, the control blocks are placed by the wrong
stride (modulo 2**32), and fields outside of the section are not written.
"""

from __future__ import annotations

from collections.abc import Iterable

from panthorlab.gpu.fw.memory import McuMemory
from panthorlab.gpu.layout import CsControl, CsgControl, GlbControl, Layout
from panthorlab.gpu.misbehave import Misbehaviour

Fields = Iterable[tuple[str, int, int]]  # name, offset in its block, value
WORD = 4
MASK = 0xFFFFFFFF


def global_fields(layout: Layout) -> Fields:
    return (
        ("glb-version", GlbControl.VERSION, layout.version),
        ("glb-features", GlbControl.FEATURES, 0),
        ("glb-input", GlbControl.INPUT, layout.glb_input),
        ("glb-output", GlbControl.OUTPUT, layout.glb_output),
        ("glb-group-num", GlbControl.GROUP_NUM, layout.groups),
        ("glb-group-stride", GlbControl.GROUP_STRIDE, layout.group_stride),
        ("glb-perfcnt-size", GlbControl.PERFCNT_SIZE, 0),
        ("glb-instr-features", GlbControl.INSTR_FEATURES, layout.instr_features),
    )


def group_fields(layout: Layout, suspend_size: int, group: int) -> Fields:
    return (
        ("csg-features", CsgControl.FEATURES, 0),
        ("csg-input", CsgControl.INPUT, layout.csg_input(group)),
        ("csg-output", CsgControl.OUTPUT, layout.csg_output(group)),
        ("csg-suspend-size", CsgControl.SUSPEND_SIZE, suspend_size),
        ("csg-protm-suspend-size", CsgControl.PROTM_SUSPEND_SIZE, layout.protm_suspend_size),
        ("csg-stream-num", CsgControl.STREAM_NUM, layout.streams),
        ("csg-stream-stride", CsgControl.STREAM_STRIDE, layout.stream_stride),
    )


def stream_fields(layout: Layout, group: int, stream: int) -> Fields:
    return (
        ("cs-features", CsControl.FEATURES, layout.cs_features),
        ("cs-input", CsControl.INPUT, layout.cs_input(group, stream)),
        ("cs-output", CsControl.OUTPUT, layout.cs_output(group, stream)),
    )


def publish(memory: McuMemory, layout: Layout, suspend_size: int, misbehaviour: Misbehaviour) -> None:
    """Write all control blocks. Raises McuMemoryError."""
    first = global_fields(layout)
    glb = _put(memory, layout, 0, first, _values(first, misbehaviour, None))
    for group in range(min(glb["glb-group-num"], layout.groups)):
        at = layout.group_control + group * glb["glb-group-stride"] & MASK
        fields = group_fields(layout, suspend_size, group)
        csg = _put(memory, layout, at, fields, _values(fields, misbehaviour, group))
        for stream in range(layout.streams):
            there = at + layout.stream_control + stream * csg["csg-stream-stride"] & MASK
            own = stream_fields(layout, group, stream)
            _put(memory, layout, there, own, _values(own, misbehaviour, group))


def _put(memory: McuMemory, layout: Layout, offset: int, fields: Fields, values: dict[str, int]) -> dict[str, int]:
    for name, field, _ in fields:
        if offset + field + WORD <= layout.shared_size:
            memory.put(layout.shared + offset + field, values[name])
    return values


def _values(fields: Fields, misbehaviour: Misbehaviour, slot: int | None) -> dict[str, int]:
    if "interface" not in misbehaviour.watched:
        return {name: value for name, _, value in fields}
    values = {}
    for name, _, value in fields:
        rule = misbehaviour.strikes("interface", slot, field=name)
        values[name] = value if rule is None else rule.value
    return values
