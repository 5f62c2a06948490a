# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin of exact time in two versions of QEMU: the one in use, and Debian 13's, which has the older plugin API.

That one has no vfio-user-pci, and so no GPU; the plugin needs none. The test is its other side: it holds the CPU at
counts of its own.
"""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
from pathlib import Path

import pytest

from panthorlab import debs, spawn
from panthorlab.board.emulated import tcg_plugin
from panthorlab.board.emulated.exact import plugin
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.emulated.initramfs import build_initramfs
from panthorlab.board.emulated.machine import Wires, qemu_arguments, spin_word
from panthorlab.board.emulated.qemu import PACKAGE, Qemu, find_qemu, unpacked_qemu
from panthorlab.gpu.exact.wire import HELD, PAGE, Page, decode_held, encode_go_on
from panthorlab.kernel.model import Kernel

pytestmark = [pytest.mark.e2e, pytest.mark.full]
OLDER = "trixie"
ENOUGH = 250_000_000
"""Instructions: the kernel is up, and so are init and the agent."""

Holds = list[tuple[int, int]]
"""Count of instructions and hash of all executed blocks, wherever the CPU was held."""


@pytest.fixture(scope="module", params=["in use", OLDER])
def emulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Qemu:
    if request.param != OLDER:
        return find_qemu()
    folder, mirror = tmp_path_factory.mktemp("qemu"), debs.debian_mirror()
    (store := folder / "debs").mkdir()
    (apt := folder / "apt").mkdir()
    found = debs.PackageResolver(apt, mirror, [OLDER]).resolve(PACKAGE)
    debs.unpack(debs.download(found, mirror, store, lambda _text: None), folder / "root")
    older = unpacked_qemu(folder / "root")
    text = spawn.run([*older.argv, "--version"], timeout=60).stdout.decode()
    version = re.search(r"version (\d+\.\d+\.\d+)", text)
    assert version, text
    return Qemu(older.argv, version[1], older.origin)


def run(qemu: Qemu, kernel: Kernel, folder: Path, cpus: int, seed: int) -> Holds:
    board = EmulatedFile.model_validate({"type": "emulated", "gpu": None, "machine": {"vcpus": cpus}})
    (initrd := folder / "initrd").write_bytes(build_initramfs(kernel, firmware={}, overlay=None))
    page_fd = os.memfd_create("page")
    os.ftruncate(page_fd, PAGE)
    page, held, chance = Page(page_fd), Holds(), random.Random(seed)  # noqa: S311
    page.arm(1000)
    pairs = [socket.socketpair() for _ in range(3)]
    sync, cpu = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ends = [theirs.fileno() for _, theirs in pairs]
    wires = Wires(ends[0], ends[1], ends[2], ())
    arguments = qemu_arguments(
        board, image=kernel.image, initrd=initrd, wires=wires, extra=[spin_word(board)], exact=True
    )
    arguments += plugin.arguments(qemu, page=page_fd, sync=cpu.fileno(), extras=plugin.Extras(blocks=True))
    with (folder / "qemu.log").open("wb") as log:
        process = spawn.spawn(
            [*qemu.argv, *arguments], stdout=log, stderr=subprocess.STDOUT, pass_fds=[*ends, page_fd, cpu.fileno()]
        )
    cpu.close()
    try:
        while not held or held[-1][0] < ENOUGH:
            data = sync.recv(HELD.size)
            assert data, (folder / "qemu.log").read_text()
            held.append((decode_held(data), page.blocks))
            assert page.cpus == cpus
            if cpus > 1 and chance.random() < 0.5:
                page.end_turn()
            page.arm(page.count + chance.randrange(1000, 1_000_000))
            sync.send(encode_go_on(held[-1][0]))
    finally:
        spawn.end(process, gently=0)
        for end in (sync, *(end for pair in pairs for end in pair)):
            end.close()
        page.close()
        os.close(page_fd)
    return held


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_seed_is_a_run(emulator: Qemu, cpus: int, kernel: Kernel, tmp_path: Path) -> None:
    assert tcg_plugin.api_version(emulator.version) == (4 if "10." in emulator.version else 7)
    assert plugin.unusable(emulator) == ""
    first = run(emulator, kernel, tmp_path, cpus, 1)
    assert run(emulator, kernel, tmp_path, cpus, 1) == first
    other = run(emulator, kernel, tmp_path, cpus, 2)
    assert other != first
    if cpus == 1:  # where the CPU is held changes nothing for the guest
        counts = dict(first)
        assert all(counts.get(count, blocks) == blocks for count, blocks in other)
