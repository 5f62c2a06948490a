# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver probes, is the one that was built, and says what the GPU is."""

from __future__ import annotations

import re
from typing import Final

import pytest

from panthorlab.gpu.generations.table import GENERATIONS
from panthorlab.run.session import Session

pytestmark = pytest.mark.driver("probe")


def test_booted_kernel_is_the_built_one(session: Session) -> None:
    """build-id of vmlinux and of every loaded module that was built (checked again, after probe)."""
    session.verify_identity()


def test_render_node_answers(session: Session) -> None:
    info = session.gpu_info()
    assert int(info["gpu_id"], 16) >> 28 >= 10, f"not a CSF GPU: {info}"


REGISTERS: Final = {  # suite `coherent` has COHERENCY_FEATURES, which a parameter changes
    "gpu_id": "GPU_ID",
    "gpu_rev": "REVID",
    "csf_id": "CSF_ID",
    "l2_features": "L2_FEATURES",
    "core_features": "CORE_FEATURES",
    "tiler_features": "TILER_FEATURES",
    "mem_features": "MEM_FEATURES",
    "mmu_features": "MMU_FEATURES",
    "thread_features": "THREAD_FEATURES",
    "max_threads": "THREAD_MAX_THREADS",
    "thread_max_workgroup_size": "THREAD_MAX_WORKGROUP_SIZE",
    "thread_max_barrier_size": "THREAD_MAX_BARRIER_SIZE",
    "texture_features": "TEXTURE_FEATURES_0",
    "texture_features_1": "TEXTURE_FEATURES_1",
    "texture_features_2": "TEXTURE_FEATURES_2",
    "texture_features_3": "TEXTURE_FEATURES_3",
    "as_present": "AS_PRESENT",
    "shader_present": "SHADER_PRESENT_LO",
    "l2_present": "L2_PRESENT_LO",
    "tiler_present": "TILER_PRESENT_LO",
}


def test_each_register_is_told_as_it_is(session: Session) -> None:
    """What a program knows of the GPU is what the driver has read of it, each from its own register."""
    generation = GENERATIONS.get(str(session.board.facts().get("gpu_model")))
    if generation is None:
        pytest.skip("what the registers of this board's GPU say only its driver knows")
    info = session.gpu_info()
    told = {name: int(info[name], 16) for name in REGISTERS}
    wrong = {
        name: f"0x{value:x} instead of 0x{generation.constant(REGISTERS[name]):x}"
        for name, value in told.items()
        if value != generation.constant(REGISTERS[name])
    }
    assert not wrong, f"not as the registers: {wrong}"


@pytest.mark.driver("csif")
def test_interface_is_told(session: Session) -> None:
    info = session.gpu_info()
    assert int(info["csg_slots"]) >= 3
    assert int(info["cs_slots"]) >= 1


def test_probe_left_no_finding(session: Session) -> None:
    """Nothing between boot and the first workload is a fault, splat or time-out."""
    found = [finding for finding in session.findings() if finding.kind != "leak"]
    assert not found, "\n".join(finding.text for finding in found)


def test_probe_messages(session: Session) -> None:
    text = session.kernel_log()
    assert re.search(rf"{session.driver.name} .*mali-g\d+ (?:gpu_)?id 0x", text, re.IGNORECASE)
    if told := re.search(r"\bid 0x(\w+) major 0x(\w+) minor 0x(\w+) status 0x(\w+)", text):  # as panthor has it
        of = int(session.gpu_info()["gpu_id"], 16)
        assert [int(part, 16) for part in told.groups()] == [of >> 16, of >> 12 & 0xF, of >> 4 & 0xFF, of & 0xF]
    # to user space every one of these drivers is "panthor"
    assert re.search(r"Initialized panthor \d+\.\d+\.\d+", text)
