# SPDX-License-Identifier: GPL-2.0-or-later
"""The store of finished kernels, and what is thrown away first."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from panthorlab.errors import LabError, UsageError
from panthorlab.kernel import gc, store, upkeep
from panthorlab.kernel.elf import build_id
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source.trees import locked


def publish(key: str, *, size: int = 0, core: str = "core") -> Kernel:
    scratch = store.new_directory()
    (scratch / "Image").write_bytes(b"x" * (size or 5))
    (scratch / "guest").mkdir()
    (scratch / "guest/init").write_bytes(b"init")
    kernel = Kernel(
        key, scratch, "arm64", "6.12.99", "ab", f"title {key}", {"panthor": "cd"}, {"Image": "ef"}, ("one",)
    )
    store.write_record(kernel, core)
    return store.publish(scratch, key)


def test_round_trip(cache: Path) -> None:
    kernel = publish("a1")
    assert kernel.path == cache / "kernels/a1"
    assert store.load("a1") == kernel
    assert kernel.patches == ("one",)
    assert kernel.modules == {"panthor": "cd"}
    assert store.load("a2") is None


def test_a_kernel_is_there_whole_or_not_at_all(cache: Path) -> None:
    (store.new_directory() / "Image").touch()
    assert list(store.kernels()) == []
    assert store.load("new-x") is None


def test_who_comes_second_takes_the_first_ones(cache: Path) -> None:
    first = publish("a1")
    assert publish("a1", core="other") == first
    assert [path.name for path in (cache / "kernels").iterdir()] == ["a1"]
    assert store.with_core("core") == first
    assert store.with_core("other") is None


def test_prefixes(cache: Path) -> None:
    kernel = publish("abc1")
    publish("abd2")
    assert store.find("abc") == kernel
    with pytest.raises(UsageError, match="could be any of"):
        store.find("ab")
    with pytest.raises(UsageError, match="no kernel 'x'") as caught:
        store.find("x")
    assert "abc1" in (caught.value.hint or "")
    with pytest.raises(UsageError):
        store.find("")


def age(path: Path, hours: float) -> None:
    then = path.stat().st_mtime - hours * 3600
    os.utime(path, (then, then))


def test_the_longest_unused_goes_first(cache: Path) -> None:
    for number in range(3):
        age(publish(f"k{number}", size=1 << 20).path / store.RECORD, 100 - number)
    tree = cache / "trees" / "t"
    tree.mkdir(parents=True)
    (tree / "base.json").write_text("{}")
    age(tree / "base.json", 200)
    gc.collect(limit=(2 << 20) + 100_000)
    assert sorted(path.name for path in (cache / "kernels").iterdir()) == ["k1", "k2"]
    assert not tree.exists()


def test_what_is_used_is_not_removed(cache: Path) -> None:
    age(publish("kept", size=1 << 20).path / store.RECORD, 100)
    publish("fresh", size=1 << 20)
    tree = cache / "trees" / "t"
    tree.mkdir(parents=True)
    (tree / "base.json").write_text("{}")
    age(tree / "base.json", 200)
    with locked("t", quiet):
        gc.collect(limit=0, keep=frozenset({cache / "kernels/kept"}))
    assert sorted(path.name for path in (cache / "kernels").iterdir()) == ["fresh", "kept"]
    assert tree.exists()


def test_left_overs_of_killed_runs_go_after_a_day(cache: Path) -> None:
    old, new = store.new_directory(), store.new_directory()
    age(old, 30)
    gc.collect(limit=0)
    assert not old.exists()
    assert new.exists()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "bit of the Image": lambda path: flip(path / "Image"),
    "bit of a guest program": lambda path: flip(path / "guest/init"),
    "empty Image": lambda path: (path / "Image").write_bytes(b""),
    "no Image": lambda path: (path / "Image").unlink(),
    "Image is a directory": lambda path: make_directory(path / "Image"),
    "no program": lambda path: (path / "guest/init").unlink(),
    "cut record": lambda path: os.truncate(path / store.RECORD, 40),
    "empty record": lambda path: os.truncate(path / store.RECORD, 0),
    "no record": lambda path: (path / store.RECORD).unlink(),
    "binary record": lambda path: (path / store.RECORD).write_bytes(b"\x00\xff" * 50),
    "deep record": lambda path: (path / store.RECORD).write_bytes(b"[" * 100_000),
    "a list": lambda path: (path / store.RECORD).write_text("[]"),
    "record of nothing": lambda path: (path / store.RECORD).write_text("{}"),
    "record with a null": lambda path: (path / store.RECORD).write_text(
        (path / store.RECORD).read_text().replace('"modules": {', '"modules": null, "x": {')
    ),
    "bit of the record": lambda path: (path / store.RECORD).write_text(
        (path / store.RECORD).read_text().replace('"build_id": "ab"', '"build_id": "ac"')
    ),
    "record of another": lambda path: (path / store.RECORD).write_text((path.parent / "b1" / store.RECORD).read_text()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_kernel_is_found_out_and_disturbs_no_other(cache: Path, damage: str) -> None:
    publish("a1", core="one")
    other = publish("b1", core="two")
    DAMAGES[damage](cache / "kernels/a1")
    notes: list[str] = []
    assert store.with_core("two", notes.append) == other
    assert other in list(store.kernels())
    assert store.find("b") == other
    assert store.load("a1", notes.append) is None
    assert len(notes) == 1
    assert "a1 is damaged" in notes[0]
    assert store.load("a1", notes.append) is None, "it was moved aside"
    assert len(notes) == 1
    with pytest.raises(LabError, match="was damaged") as caught:
        store.find("a1")
    assert caught.value.exit_status == 4
    assert caught.value.hint
    assert publish("a1").path == cache / "kernels/a1", "and it can be built again"
    assert store.load("a1") is not None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_kernel_asked_for_by_key_is_a_lab_error(cache: Path, damage: str) -> None:
    publish("a1")
    publish("b1")
    DAMAGES[damage](cache / "kernels/a1")
    for _ in range(2):
        with pytest.raises(LabError, match="damaged") as caught:
            store.find("a1")
        assert caught.value.exit_status == 4


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_core_is_not_built_upon(cache: Path, damage: str) -> None:
    publish("a1", core="core")
    publish("b1", core="other")
    DAMAGES[damage](cache / "kernels/a1")
    assert store.with_core("core") is None


def test_damage_after_it_was_found_good_is_seen(cache: Path) -> None:
    path = publish("a1", size=4096).path
    assert store.load("a1") is not None
    flip(path / "Image")
    assert store.load("a1") is None


def test_who_publishes_over_a_damaged_kernel_wins(cache: Path) -> None:
    flip(publish("a1").path / "Image")
    assert publish("a1").path == cache / "kernels/a1"
    assert store.load("a1") is not None


def test_a_kernel_of_an_older_version_is_checked_as_far_as_its_record_goes(cache: Path) -> None:
    path = publish("a1").path
    record = json.loads((path / store.RECORD).read_text())
    del record["files"], record["checksum"]
    record["digests"] = {"Image": record["digests"]["Image"]}
    for name in ("System.map", "config"):
        (path / name).write_text("x")
    shutil.copy("/bin/true", path / "vmlinux")
    record["build_id"] = build_id(path / "vmlinux")
    record["digests"] = {"Image": hashlib.sha256((path / "Image").read_bytes()).hexdigest()}
    (path / store.RECORD).write_text(json.dumps(record))
    assert store.find("a1").files == {}
    flip(path / "Image")
    with pytest.raises(LabError, match="Image is not what was stored"):
        store.find("a1")


@pytest.mark.parametrize(("name", "value"), [("key", None), ("title", 5), ("title", None), ("release", [])])
def test_nonsense_in_a_record_without_checksum_disturbs_no_other(cache: Path, name: str, value: object) -> None:
    path = publish("a1").path / store.RECORD
    publish("b2")
    record = json.loads(path.read_text())
    del record["files"], record["checksum"]
    path.write_text(json.dumps(record | {name: value}))
    assert [kernel.key for kernel in store.kernels()] == ["b2"]
    with pytest.raises(UsageError, match="no kernel 'nosuch'"):
        store.find("nosuch")
    assert store.load("a1") is None


def test_doctor_finds_and_removes_what_is_damaged(cache: Path) -> None:
    publish("a1")
    flip(publish("b1").path / "Image")
    (cache / "trees/t").mkdir(parents=True)
    (cache / "trees/t/base.json").write_text("{")
    left = store.new_directory()
    age(left, 30)
    assert [item.name for item in upkeep.damaged()] == ["kernels/b1", "trees/t"]
    mended = upkeep.repair()
    assert [line.split(":")[0] for line in mended] == ["kernels/b1", "trees/t", f"kernels/{left.name}"]
    assert upkeep.damaged() == []
    assert sorted(path.name for path in (cache / "kernels").iterdir()) == ["a1"]
    assert upkeep.repair() == []


def test_doctor_leaves_alone_what_is_being_made(cache: Path) -> None:
    (cache / "trees/t").mkdir(parents=True)
    new = store.new_directory()
    with locked("t", quiet):
        assert upkeep.repair() == []
    assert new.exists()
