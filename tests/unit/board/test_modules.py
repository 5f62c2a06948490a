# SPDX-License-Identifier: GPL-2.0-or-later
"""Order of loading modules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.kernel_log import kernel_lines
from panthorlab.board.modules import depends, load_order, module_name
from panthorlab.errors import LabError


def modinfo(*needed: str) -> bytes:
    return b"\x7fELF...\0license=GPL\0depends=" + ",".join(needed).encode() + b"\0retpoline=Y\0"


def test_depends() -> None:
    assert depends(modinfo()) == ()
    assert depends(modinfo("gpu-sched", "drm_exec")) == ("gpu_sched", "drm_exec")
    assert depends(b"no such line") == ()
    assert module_name("gpu-sched.ko") == "gpu_sched"


@given(st.integers(1, 12), st.data())
def test_dependencies_come_first(count: int, data: st.DataObject) -> None:
    names = [f"m{index}" for index in range(count)]
    needs = {
        name: data.draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }
    order = load_order({name: modinfo(*needs[name]) for name in names}, (names[-1],))
    assert len(order) == len(set(order))
    assert order[-1] == names[-1]
    for name in order:
        assert all(order.index(needed) < order.index(name) for needed in needs[name])


def test_loop_and_missing() -> None:
    with pytest.raises(LabError, match="a → b → a"):
        load_order({"a": modinfo("b"), "b": modinfo("a")}, ("a",))
    with pytest.raises(LabError, match="module shim was not built"):
        load_order({}, ("shim",))


def test_kernel_lines() -> None:
    raw = (
        b"6,1,500000,-;panthor fb000000.gpu: hello\n SUBSYSTEM=platform\n DEVICE=+platform:panthor\n"
        b"3,2,1500000,-;other\n3,x;panthor\n4,3,2000001,c;Direct firmware load failed\n"
    )
    assert kernel_lines(raw, ("panthor", "firmware")) == [
        "[    0.500000] panthor fb000000.gpu: hello",
        "[    2.000001] Direct firmware load failed",
    ]
