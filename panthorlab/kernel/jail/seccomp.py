# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls that no namespace of the jail covers, refused by a filter that bubblewrap installs.

Virtual sockets reach the hypervisor whatever the network namespace; a session keyring is inherited; new user namespaces
open much of the kernel to everybody; TIOCSTI types into a terminal; io_uring does all this behind a filter's back. What
is refused looks like a kernel that does not have it, or permission denied. Numbers: `asm/unistd.h`; the program:
`linux/filter.h`, `linux/seccomp.h`. On machines without a row nothing is filtered.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data, little-endian
_CLONE_NEWUSER = 0x10000000
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
_X32 = 0x40000000

BpfInstruction = tuple[int, int, int, int]
"""Code, how many instructions to skip if true and if false, operand."""


@dataclass(frozen=True)
class SyscallTable:
    """`audit`: its AUDIT_ARCH. `refused`: system calls that are not there. Then those that depend on an argument."""

    audit: int
    refused: tuple[int, ...]
    clone: int
    unshare: int
    socket: int
    ioctl: int


# clone3, whose flags a filter cannot see (libc then uses clone), io_uring_setup, _enter, _register, add_key,
# request_key, keyctl, setns, bpf, userfaultfd, perf_event_open
_X86 = (435, 425, 426, 427, 248, 249, 250, 308, 321, 323, 298)
_GENERIC = (435, 425, 426, 427, 217, 218, 219, 268, 280, 282, 241)
MACHINES: Mapping[str, SyscallTable] = {
    "x86_64": SyscallTable(0xC000003E, _X86, clone=56, unshare=272, socket=41, ioctl=16),
    "aarch64": SyscallTable(0xC00000B7, _GENERIC, clone=220, unshare=97, socket=198, ioctl=29),
    "riscv64": SyscallTable(0xC00000F3, _GENERIC, clone=220, unshare=97, socket=198, ioctl=29),
}


def program(machine: SyscallTable) -> bytes:
    """The filter as the kernel takes it. Programs for another instruction set than the machine's own get nothing."""
    code: list[BpfInstruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        _refuse(errno.ENOSYS),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        _refuse(errno.ENOSYS),
    ]
    for number in machine.refused:
        code += [(_EQUAL, 0, 1, number), _refuse(errno.ENOSYS)]
    for number in (machine.clone, machine.unshare):
        code += _block(number, _FIRST, [(_ANY_BIT, 0, 1, _CLONE_NEWUSER), _refuse(errno.EPERM)])
    code += _block(
        machine.ioctl,
        _SECOND,
        [word for request in _TERMINAL_INPUT for word in ((_EQUAL, 0, 1, request), _refuse(errno.EPERM))],
    )
    families = [word for family in _FAMILIES for word in ((_EQUAL, 0, 1, int(family)), (_RETURN, 0, 0, _ALLOW))]
    code += _block(machine.socket, _FIRST, [*families, _refuse(errno.EAFNOSUPPORT)])
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *word) for word in code)


def _refuse(number: int) -> BpfInstruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def _block(number: int, argument: int, body: Sequence[BpfInstruction]) -> list[BpfInstruction]:
    """For one system call: its argument is loaded, `body` decides; at its end the call is allowed."""
    inner = [(_LOAD, 0, 0, argument), *body, (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(inner), number), *inner]


@contextmanager
def filter_file() -> Iterator[int | None]:
    """A descriptor from which bubblewrap can read the filter for this machine; None if there is none."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        yield None
        return
    number = os.memfd_create("seccomp")
    try:
        os.write(number, program(machine))
        os.lseek(number, 0, os.SEEK_SET)
        yield number
    finally:
        os.close(number)
