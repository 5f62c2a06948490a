# SPDX-License-Identifier: GPL-2.0-or-later
"""What the driver holds, from debugfs as kernels write it: 6.12.117 and 7.3.4."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from itertools import chain, repeat
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.api import BootedBoard, RemoteFileError
from panthorlab.board.boardtime import HOST
from panthorlab.run import held as module
from panthorlab.run.held import (
    NOTHING,
    ROOT,
    Held,
    Holdings,
    count_objects,
    count_vms,
    list_clients,
    read_gpus,
    read_held,
)

VM = """\
DRM GPU VA space ({name}) [0x0000000000000000;0x0000000100000000]
Kernel reserved node [0x0000000000000000;0x0000000000000000]

 VAs | start              | range              | end                | object             | object offset
-------------------------------------------------------------------------------------------------------------
     | 0x0000000004000000 | 0x0000000000020000 | 0x0000000004020000 | 0xffff000000ebb200 | 0x0000000000000000


"""
GEMS = """\
GEM state flags: imported (0x1), exported (0x2), evicted (0x4)
GEM usage flags: kernel (0x1), fw-mapped (0x2)

created-by                      global-name     refcount   evictions  size            resident-size   file-offset \
 state      usage       label
-----------------------------------------------------------------------------------------------------------------------
init/29                         0               2          0          131072          131072          0x100000 \
0x0        0x3         FW section
{more}========================================================================================================
Total size: 131072, Total resident: 131072, Total reclaimable: 0
"""
BUFFER = """\
gpu-heap/77                     0               1          0          4096            4096            0x120000 \
0x0        0x0         {label}
"""
CLIENTS = "             command  tgid dev master a   uid      magic\n"
FIRMWARE = VM.format(name="panthor-MCU-VM")
USER = VM.format(name="panthor-GPU-VM")


@given(st.integers(0, 5), st.booleans())
def test_vms_besides_the_firmwares(users: int, firmware: bool) -> None:
    assert count_vms((FIRMWARE if firmware else "") + USER * users) == users


@given(st.lists(st.sampled_from(["", "a label", "0x0 0x2"]), max_size=5))
def test_objects_besides_the_firmwares(labels: list[str]) -> None:
    more = "".join(BUFFER.format(label=label) for label in labels)
    assert count_objects(GEMS.format(more=more)) == len(labels)


def test_clients() -> None:
    assert list_clients(CLIENTS) == ()
    assert list_clients(CLIENTS + "            gpu-heap    77 128   n    n     0          0\n") == ("gpu-heap",)


def get_from(files: dict[str, str | int], path: str) -> bytes:
    content = files.get(path, errno.ENOENT)
    if isinstance(content, int):
        raise RemoteFileError(f"cannot read {path}", errno=content)
    return content.encode()


def held(files: dict[str, str | int]) -> Held | None:
    return read_held(lambda path: get_from(files, path), ("/128", "/129"))


def test_the_directory_is_panthors_own() -> None:
    other = {"/128/name": "rockchip dev=display-subsystem", "/128/gpuvas": USER}
    assert held({**other}) is None
    ours = {**other, "/129/name": "panthor dev=mali", "/129/gpuvas": FIRMWARE + USER, "/129/clients": CLIENTS}
    assert held({**ours}) == Held(1, None, ())
    assert held({**ours, "/129/gems": GEMS.format(more=BUFFER.format(label=""))}) == Held(1, 1, ())


def test_each_gpu_has_its_own() -> None:
    files: dict[str, str | int] = {
        "/128/name": "panthor dev=one.gpu unique=one.gpu",
        "/128/gpuvas": FIRMWARE + USER,
        "/129/name": "panthor dev=other.gpu unique=other.gpu",
        "/129/gpuvas": FIRMWARE,
    }
    found = read_gpus(lambda path: get_from(files, path), ("/128", "/129", "/130"))
    assert found == {"one.gpu": Held(1, None, ()), "other.gpu": Held(0, None, ())}


def test_what_is_left_on_each_gpu_is_waited_for() -> None:
    assert holdings(FIRMWARE + USER, errno.ENODEV, FIRMWARE).of_each() == {"mali": ""}


@pytest.mark.usefixtures("no_patience")
def test_what_is_left_on_a_gpu_is_told() -> None:
    assert holdings(FIRMWARE + USER).of_each() == {"mali": "1 VMs"}


def test_no_list_is_not_an_empty_list() -> None:
    assert held({"/128/name": "panthor dev=mali"}) is None


def test_an_error_is_not_an_empty_list() -> None:
    with pytest.raises(RemoteFileError):
        held({"/128/name": "panthor dev=mali", "/128/gpuvas": errno.ENODEV})


def test_more_is_told_in_words() -> None:
    assert NOTHING.more_than(NOTHING) == ""
    assert Held(2, 3, ()).more_than(NOTHING) == "2 VMs, 3 buffer objects"
    assert Held(2, None, ()).more_than(Held(2, None, ())) == ""
    assert Held(2, 3, ()).more_than(Held(2, 1, ())) == "2 buffer objects"


def test_what_is_allowed_follows_what_is_held_downwards() -> None:
    assert Held(2, 3, ()).at_most(Held(1, 5, ())) == Held(1, 3, ())
    assert Held(1, 0, ()).at_most(Held(2, None, ())) == Held(1, 0, ())


class Board:
    """One that has these lists of VMs, one after the other; the last for ever."""

    slowness = 1.0
    time = HOST

    def __init__(self, *gpuvas: str | int) -> None:
        self.shell = self
        self.gpuvas: Iterator[str | int] = chain(gpuvas[:-1], repeat(gpuvas[-1]))

    def get(self, path: str) -> bytes:
        files: dict[str, str | int] = {f"{ROOT}/128/name": "panthor dev=mali"}
        if path.endswith("/gpuvas"):
            files[path] = next(self.gpuvas)
        return get_from(files, path)


def holdings(*gpuvas: str | int) -> Holdings:
    return Holdings(cast(BootedBoard, Board(*gpuvas)))


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_TIME", 0.0)


def test_what_goes_later_is_waited_for() -> None:
    assert holdings(FIRMWARE + USER, errno.ENODEV, FIRMWARE + USER, FIRMWARE).left() == ""


@pytest.mark.usefixtures("no_patience")
def test_what_stays_is_told_once() -> None:
    there = holdings(FIRMWARE + USER)
    assert "still holds 1 VMs" in there.left()
    assert there.left() == ""


@pytest.mark.usefixtures("no_patience")
def test_a_list_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(RemoteFileError):
        holdings(errno.ENODEV).left()
    with pytest.raises(RemoteFileError):
        holdings(errno.EIO).left()


@pytest.mark.usefixtures("no_patience")
def test_what_is_forgiven_is_not_told_until_it_was_seen_gone() -> None:
    lists = holdings(FIRMWARE + USER, FIRMWARE + USER, FIRMWARE, FIRMWARE + USER, FIRMWARE + USER)
    lists.forgive()
    assert lists.left() == ""
    assert lists.left() == ""
    assert lists.left()
