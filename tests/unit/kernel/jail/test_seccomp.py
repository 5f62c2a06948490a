# SPDX-License-Identifier: GPL-2.0-or-later
"""The filter of each machine, run by an interpreter of its few instructions. test_jail.py runs this machine's."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.kernel.jail.seccomp import MACHINES, SyscallTable, program

ALLOWED, REFUSED = 0x7FFF0000, 0x00050000


def decide(machine: SyscallTable, number: int, *arguments: int, audit: int | None = None) -> int:
    """0 if the call is allowed, else the error number."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, machine.audit if audit is None else audit, 0, *padded)
    words = list(struct.iter_unpack("<HBBI", program(machine)))
    value, place = 0, 0
    while True:
        code, if_true, if_false, operand = words[place]
        place += 1
        if code == 0x20:
            value = struct.unpack_from("<I", data, operand)[0]
        elif code == 0x06:
            assert operand == ALLOWED or operand & 0xFFFF0000 == REFUSED
            return 0 if operand == ALLOWED else operand & 0xFFFF
        else:
            true = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
            place += if_true if true else if_false


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_decisions(machine: SyscallTable) -> None:
    assert [decide(machine, number) for number in machine.refused] == [errno.ENOSYS] * len(machine.refused)
    for number in (machine.clone, machine.unshare):
        assert decide(machine, number, 0x10000000 | 0x11) == errno.EPERM
        assert decide(machine, number, 0x20000011) == 0
    assert [decide(machine, machine.socket, family, 1) for family in (1, 2, 10, 16)] == [0] * 4
    assert {decide(machine, machine.socket, family, 1) for family in (0, 17, 38, 40, 41)} == {errno.EAFNOSUPPORT}
    assert decide(machine, machine.ioctl, 0, 0x5412) == decide(machine, machine.ioctl, 0, 0x541C) == errno.EPERM
    assert decide(machine, machine.ioctl, 0x5412, 0x5401) == 0
    assert decide(machine, machine.ioctl, 0, 0xFFFFFFFF_00005412) == errno.EPERM, "the kernel looks at 32 bits"
    assert decide(machine, machine.socket, 0x1_00000028) == errno.EAFNOSUPPORT


@given(st.sampled_from(list(MACHINES.values())), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers())
def test_everything_else(machine: SyscallTable, number: int, argument: int, audit: int) -> None:
    special = (*machine.refused, machine.clone, machine.unshare, machine.socket, machine.ioctl)
    expected = errno.ENOSYS if number >= 0x40000000 else 0
    if number not in special:
        assert decide(machine, number, argument, argument) == expected
    if audit % 2**32 != machine.audit:
        assert decide(machine, number, argument, audit=audit % 2**32) == errno.ENOSYS
