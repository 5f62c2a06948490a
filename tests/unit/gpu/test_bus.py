# SPDX-License-Identifier: GPL-2.0-or-later
"""Bus Master Enable: what the GPU may do with memory once the kernel, or a reset, has taken the bus away from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from panthorlab.gpu.bus import SHUTDOWN
from panthorlab.gpu.layout import Csg, CsgIn, GlbIn, GlbOut

Bench = Any  # conftest.Bench
RUNNING, KEXEC, RESET = 0x6, 0x2, 0x0  # command register: memory and bus master; what Linux leaves; what QEMU leaves
RESULT_VA = 0x100_1000
# Stores R0 for ever: MOVE48 R0 address, MOVE32 R2 value, then STORE_MULTIPLE and BRANCH back to it.
STORE = (0x0144000001001000, 0x02460000DEADBEEF, 0x1546440000010000, 0x0300000000FF0000)
AGAIN = (0x160000006000FFFD,)


@pytest.fixture
def busy(bench: Bench) -> Bench:
    """A stream that stores again and again."""
    bench.gpu.pci_command(RUNNING)
    bench.put_ring(*STORE, *AGAIN)
    bench.prepare_group()
    at_in, glb_in, glb_out = bench.layout.csg_input(0), bench.layout.glb_input, bench.layout.glb_output
    bench.put_iface(at_in + CsgIn.REQ, Csg.START | 0x10)
    bench.put_iface(glb_in + GlbIn.DOORBELL_REQ, bench.iface(glb_out + GlbOut.DOORBELL_ACK) ^ 1)
    bench.ring(0)
    for _ in range(2):
        steps(bench, 100, until=lambda: stored(bench))
        assert stored(bench), "the stream does not loop"
        bench.put_word(bench.user.pa(RESULT_VA), 0)
    return bench


def stored(bench: Bench) -> bool:
    return bool(bench.word(bench.user.pa(RESULT_VA)))


def steps(bench: Bench, most: int, until: Callable[[], bool] = lambda: False) -> None:
    """Run the model, whose virtual time stands still as long as a stream runs."""
    for _ in range(most):
        due = bench.loop.due_in()
        if due is None or until():
            return
        bench.time.now += due
        bench.loop.step(0)
    assert bench.errors == []


def test_work_that_goes_on_after_kexec_is_stopped_and_told_once_a_kind(busy: Bench) -> None:
    busy.gpu.pci_command(KEXEC)
    steps(busy, 100)
    assert not stored(busy)
    texts = busy.texts(SHUTDOWN)
    assert texts
    assert "after kexec, for panthor was not unbound" in texts[0]
    kinds = [text.partition(" was not unbound: ")[2].partition(" at ")[0] for text in texts]
    assert len(kinds) == len(set(kinds))


def test_the_firmware_itself_is_stopped_too(bench: Bench) -> None:
    bench.gpu.pci_command(RUNNING)
    bench.gpu.pci_command(KEXEC)
    bench.put_iface(bench.layout.glb_input + GlbIn.REQ, 0x40E ^ 1 << 9)  # PING
    bench.ring(0)
    steps(bench, 100)
    assert [text.partition("unbound: ")[2].partition(" at")[0] for text in bench.texts(SHUTDOWN)] == ["read by MCU"]
    assert bench.read("MCU_STATUS") == 3, "an MCU without memory is dead until it is reset"


@pytest.mark.parametrize("commands", [(RESET,), (KEXEC, RESET)])
def test_a_machine_reset_is_no_kexec(busy: Bench, commands: tuple[int, ...]) -> None:
    """QEMU disables memory and bus master of a function, and then resets it: what runs until then was cut off."""
    for command in commands:
        busy.gpu.pci_command(command)
    steps(busy, 100)
    busy.gpu.reset()
    steps(busy, 100)
    assert not stored(busy)
    assert busy.texts(SHUTDOWN) == []


def test_an_unbound_gpu_says_nothing(busy: Bench) -> None:
    """What panthor_device_unplug ends with; then the shim gives the bus back, or kexec takes it."""
    busy.write("MCU_CONTROL", 0)
    busy.write("L2_PWROFF_LO", 1)
    busy.gpu.pci_command(KEXEC)
    steps(busy, 100)
    assert busy.texts(SHUTDOWN) == []


def test_the_next_kernel_gets_a_gpu_that_works(busy: Bench) -> None:
    busy.gpu.pci_command(KEXEC)
    steps(busy, 100)
    told = len(busy.texts(SHUTDOWN))
    busy.gpu.pci_command(RUNNING)
    busy.write("GPU_CMD", 0x101)
    busy.boot()
    busy.enable_space(1, busy.user)
    assert busy.read("MCU_STATUS") == 1
    busy.ring_global()
    assert len(busy.texts(SHUTDOWN)) == told
