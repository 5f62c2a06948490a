# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin of exact time, compiled as for QEMU, in a program that calls it as QEMU of either plugin API does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.emulated import tcg_plugin
from panthorlab.board.emulated.exact import plugin
from panthorlab.board.emulated.exact.wires import MODEL_GONE
from panthorlab.board.emulated.qemu import Qemu
from panthorlab.coverage import counts
from panthorlab.errors import LabError
from panthorlab.gpu.exact import passed
from panthorlab.gpu.exact.wire import HELD, PAGE, Page, decode_held, encode_go_on

HOST = Path(__file__).with_name("exact_host.c")


@pytest.fixture(scope="module", params=[4, 7])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The program and the plugin; then come the plugin's arguments, and blocks."""
    folder = tmp_path_factory.mktemp("host")
    compiler = shutil.which("gcc")
    assert compiler, "no gcc; ./scripts/setup installs one"
    program = folder / "host"
    warnings = ("-O1", "-Wall", "-Wextra", "-Werror")
    api = (f"-DAPI_VERSION={request.param}", f"-I{tcg_plugin.HEADER.parent}")
    subprocess.run([compiler, *warnings, *api, "-rdynamic", "-o", program, HOST, "-ldl"], check=True, timeout=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return [str(program), str(plugin.compiled(request.param))]


@dataclass
class Model:
    """Our side: the page, and the socket on which the CPU says that it is held."""

    page: Page
    sync: socket.socket
    fds: tuple[int, int]

    def start(self, host: list[str], *blocks: str, more: str = "") -> subprocess.Popen[bytes]:
        argument = f"page={self.fds[0]},sync={self.fds[1]}{more}"
        process = subprocess.Popen(
            [*host, argument, *blocks], pass_fds=self.fds, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.close(self.fds[1])
        return process

    def serve(self, *dues: int | None, turns: Sequence[int] = ()) -> list[int]:
        """The counts at which the CPU was held, each time with the next due count as the answer; up to its end. When it
        is held the `turns`th time, its turn ends."""
        held: list[int] = []
        left = list(dues)
        while data := self.sync.recv(HELD.size):
            count = decode_held(data)
            assert self.page.count == count
            if len(held) in turns:
                self.page.end_turn()
            held.append(count)
            self.page.arm(left.pop(0) if left else None)
            self.sync.send(encode_go_on(count))
        return held


@pytest.fixture
def model() -> Iterator[Model]:
    fd = os.memfd_create("page")
    os.ftruncate(fd, PAGE)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    page = Page(fd)
    with ours:
        ours.settimeout(60)
        yield Model(page, ours, (fd, theirs.detach()))
    page.close()
    os.close(fd)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, err = process.communicate(timeout=60)
    return process.returncode, err.decode()


def test_it_counts_and_holds_where_it_is_told(host: list[str], model: Model) -> None:
    model.page.arm(10)
    process = model.start(host, *["1000:4"] * 10)
    assert model.serve(13, 13, 38) == [12, 16, 20, 40]
    assert ended(process) == (0, "")
    assert (model.page.count, model.page.blocks, model.page.cpus) == (40, 0, 1)


def test_it_never_holds_a_cpu_for_which_nothing_is_due(host: list[str], model: Model) -> None:
    model.page.arm(None)
    process = model.start(host, *["1000:16"] * 100)
    assert model.serve() == []
    assert ended(process) == (0, "")
    assert model.page.count == 1600


@pytest.mark.parametrize(
    ("blocks", "same"),
    [
        (["1000:4", "2000:1"], True),
        (["2000:1", "1000:4"], False),
        (["1000:4", "2000:2"], False),
        (["1000:4", "2004:1"], False),
        (["1000:4", "2000:1", "2000:1"], False),
    ],
)
def test_the_hash_tells_blocks_apart(blocks: list[str], same: bool, host: list[str], model: Model) -> None:
    model.page.arm(None)
    process = model.start(host, *blocks, more=",hash=on")
    model.serve()
    assert ended(process) == (0, "")
    expected = 0
    for block in (0x1000 | 4 << 56, 0x2000 | 1 << 56):
        expected = (expected ^ block) * 1099511628211 & (1 << 64) - 1
    assert (model.page.blocks == expected) is same


def test_a_model_that_has_gone_ends_the_guest(host: list[str], model: Model) -> None:
    model.page.arm(1)
    model.sync.shutdown(socket.SHUT_RDWR)
    status, said = ended(model.start(host, "1000:4"))
    assert status == MODEL_GONE
    assert "the GPU model has gone" in said


def test_several_cpus_have_one_count_and_turns(host: list[str], model: Model) -> None:
    model.page.arm(10)
    process = model.start(host, "2-cpus", *["1000:4"] * 10)
    assert model.serve(13, 13, 38, turns=[1]) == [12, 16, 20, 40]
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, b"turn\n", b"")
    assert (model.page.count, model.page.cpus) == (40, 2)


def test_a_cpu_that_comes_later_is_refused(host: list[str], model: Model) -> None:
    model.page.arm(None)
    process = model.start(host, "1000:4", "cpu")
    assert model.serve() == []
    status, said = ended(process)
    assert status == MODEL_GONE
    assert "a CPU that came later" in said


def test_a_page_of_something_else_is_refused(host: list[str], model: Model) -> None:
    os.pwrite(model.fds[0], b"\0" * PAGE, 0)
    status, said = ended(model.start(host, "1000:4"))
    assert status == MODEL_GONE
    assert "the shared page" in said


@pytest.mark.parametrize("arguments", ["page=3", "sync=3", "page=x,sync=3", "page=3,sync=4,what=1", "page=,sync=3"])
def test_what_it_does_not_know_is_refused(arguments: str, host: list[str]) -> None:
    done = subprocess.run([*host, arguments], capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(b"exact: ")


# -- what it counts and writes besides -----------------------------------------------------------------------------

TEXT = ((0xFFFF800080001000, 0xFFFF800080001010), (0xFFFF800080002000, 0xFFFF800080002008))


def test_instructions_of_the_driver_are_counted_each_by_itself(host: list[str], model: Model, tmp_path: Path) -> None:
    live = counts.create(tmp_path / "counts", TEXT)
    blocks = ["ffff800080000ff8:4", "ffff800080001004:9", "ffff800080001004:3:2", "ffff800080002004:1", "1000:4"]
    model.page.arm(None)
    process = model.start(host, *blocks, "kill", more=f",counts={live}")
    model.serve()
    assert ended(process)[0] == -signal.SIGKILL
    assert list(counts.read(live).values) == [1, 3, 2, 1, 0, 1]
    assert model.page.count == 4 + 9 + 3 + 1 + 4


def test_many_instructions_are_counted_where_they_belong(host: list[str], model: Model, tmp_path: Path) -> None:
    text = ((0x10000, 0x10000 + 4 * 5000),)  # several pages of counts
    live = counts.create(tmp_path / "counts", text)
    model.page.arm(None)
    process = model.start(host, *(f"{0x10000 + 4 * at:x}:1" for at in range(0, 5000, 97)), more=f",counts={live}")
    model.serve()
    assert ended(process) == (0, "")
    assert [at for at, value in enumerate(counts.read(live).values) if value] == list(range(0, 5000, 97))


def test_calls_are_written_with_their_counts_and_stacks(host: list[str], model: Model, tmp_path: Path) -> None:
    places = passed.write_addresses(tmp_path / "places", [0x2000, 0x1008, 0x3000])
    into = tmp_path / "calls"
    model.page.arm(14)
    process = model.start(
        host, "sp:ff00", "1000:4", "sp:fe00", "2000:6", "2004:1", "3000:5:0", "ffff800080001000:5", "3000:5", "kill",
        more=f",places={places},calls={into}",
    )  # fmt: skip
    assert model.serve(20, None) == [16, 21]
    assert ended(process)[0] == -signal.SIGKILL
    assert list(passed.read(into)) == [
        passed.Passed(2, 0x1008, 0xFF00),
        passed.Passed(4, 0x2000, 0xFE00),
        passed.CpuHeld(16, 0x3000, 5),
        passed.CpuHeld(21, 0xFFFF800080001000, 5),
        passed.Passed(21, 0x3000, 0xFE00),
    ]


@pytest.mark.parametrize("cpus", [(), ("2-cpus",)])
def test_it_holds_where_a_watched_block_begins_and_writes_down_those_before(
    cpus: tuple[str, ...], host: list[str], model: Model, tmp_path: Path
) -> None:
    places = passed.write_addresses(tmp_path / "places", [0x1008])
    code = passed.write_addresses(tmp_path / "code", [0x1000, 0x1010, *TEXT[0]])
    into = tmp_path / "calls"
    model.page.arm(None)
    model.page.watch(TEXT[0][0], 2)
    process = model.start(
        host, *cpus, "sp:ff00", "1000:4", "ff8:9", f"{TEXT[0][0]:x}:3", "1010:3", f"{TEXT[0][0]:x}:5", "1004:2", "kill",
        more=f",places={places},code={code},calls={into},begins=on",
    )  # fmt: skip
    assert model.serve(None) == [24]
    assert ended(process)[0] == -signal.SIGKILL
    assert model.page.watched == 0
    assert list(passed.read(into)) == [
        passed.BlockBegin(0, 0x1000, 4),
        passed.Passed(2, 0x1008, 0xFF00),
        passed.Passed(8, 0x1008, 0xFF00),
        passed.BlockBegin(13, TEXT[0][0], 3),
        passed.BlockBegin(19, TEXT[0][0], 5),
        passed.CpuHeld(24, TEXT[0][0], 5),
        passed.Passed(25, 0x1008, 0xFF00),
    ]


def test_a_block_that_is_not_watched_holds_nothing(host: list[str], model: Model, tmp_path: Path) -> None:
    code = passed.write_addresses(tmp_path / "code", [0x1000, 0x1010])
    into = tmp_path / "calls"
    model.page.arm(None)
    model.page.watch(0x1004, 1)
    process = model.start(host, *["1000:4", "2000:3"] * 5, more=f",code={code},calls={into}")
    assert model.serve() == []
    assert ended(process) == (0, "")
    assert (model.page.watched, list(passed.read(into))) == (0x1004, [])


@given(st.lists(st.integers(1, 200), max_size=60), st.integers(0, 6000), st.integers(0, 6000))
def test_a_part_of_the_file_has_all_that_is_between(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], one: int, other: int
) -> None:
    file, count = tmp_path_factory.mktemp("calls") / "calls", 0
    words = []
    for number, size in enumerate(sizes):  # where it is held comes first, with the count at the block's end
        words += [count + size, 0x1000 + 4 * number | 1, size] * (number % 3 == 0)
        words += [count, 0x1000 + 4 * number | 2, size, count + size // 2, 0x9000, 8]
        count += size
    file.write_bytes(struct.pack(f"={len(words)}Q", *words))
    begin, end = sorted((one, other))
    inside = [event for event in passed.read(file) if begin <= event.count <= end]
    assert [event for event in passed.read(file, (begin, end)) if begin <= event.count <= end] == inside


def test_where_it_is_held_is_written_by_itself_and_found_again(host: list[str], model: Model, tmp_path: Path) -> None:
    into = tmp_path / "calls"
    model.page.arm(5)
    process = model.start(host, *["1000:4", "2000:3"] * 5, more=f",calls={into}")
    assert model.serve(12, 30) == [7, 14, 32]
    assert ended(process) == (0, "")
    held = [passed.CpuHeld(7, 0x2000, 3), passed.CpuHeld(14, 0x2000, 3), passed.CpuHeld(32, 0x1000, 4)]
    assert list(passed.read(into)) == held
    found = {due: passed.held_for(into, due) for due in range(1, 40)}
    assert found == {due: next((one for one in held if one.before < due <= one.count), None) for due in found}


@pytest.mark.parametrize(
    "more", ["counts=/nonexistent", "places=/dev/null,calls=/dev/null", "places=/tmp/x", "code=/tmp/x", "begins=on"]
)
def test_files_that_it_cannot_use_are_refused(more: str, host: list[str], model: Model) -> None:
    status, said = ended(model.start(host, more=f",{more}"))
    assert status == 1
    assert said


# -- whether it can be used ---------------------------------------------------------------------------------------


def qemu(folder: Path, script: str) -> Qemu:
    program = folder / "qemu"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Qemu((str(program),), "11.1.3", f"PATH: {program}")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'exact: usable'", ""),
        ("echo 'qemu: -plugin: invalid option' >&2; exit 1", "does not take the exact plugin: qemu: -plugin: invalid"),
        ("echo 'plugin requires api version 7' >&2; exit 1", "does not take the exact plugin: plugin requires api"),
        ("exit 3", "does not take the exact plugin: status 3"),
        ("kill -ABRT $$", "does not take the exact plugin: status -6"),
    ],
)
def test_a_qemu_that_does_not_take_it_is_told(script: str, why: str, tmp_path: Path) -> None:
    told = plugin.unusable(qemu(tmp_path, script))
    assert (why in told) if why else not told


@pytest.mark.parametrize("version", ["10.1.0", "11.1.3"])
def test_the_version_that_qemu_takes_is_found_by_asking(version: str, tmp_path: Path) -> None:
    taken = plugin.compiled(7 if version == "10.1.0" else 4)
    one = replace(qemu(tmp_path, f"case \"$*\" in *{taken}*) echo 'exact: usable';; *) exit 1;; esac"), version=version)
    assert plugin.unusable(one) == ""
    assert plugin.arguments(one, page=5, sync=6, extras=plugin.Extras(blocks=True)) == [
        "-plugin",
        f"file={taken},page=5,sync=6,hash=on",
    ]


def test_a_qemu_that_cannot_be_used_has_no_arguments(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="does not take the exact plugin"):
        plugin.arguments(qemu(tmp_path, "exit 3"), page=5, sync=6, extras=plugin.Extras())


def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tcg_plugin, "COMPILER", "no-such-compiler")
    assert "cannot be compiled" in plugin.unusable(qemu(tmp_path, "exit 1"))
