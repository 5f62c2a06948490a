# SPDX-License-Identifier: GPL-2.0-or-later
"""The store of finished kernels, and what is thrown away first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from panthorlab.errors import UsageError
from panthorlab.kernel import gc, store
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.plan import quiet
from panthorlab.kernel.trees import locked


def publish(key: str, *, size: int = 0, core: str = "core") -> Kernel:
    scratch = store.new_directory()
    (scratch / "Image").write_bytes(b"x" * (size or 5))
    (scratch / "guest").mkdir()
    (scratch / "guest/init").write_bytes(b"init")
    kernel = Kernel(
        key, scratch, "arm64", "6.12.99", "ab", f"title {key}", {"panthor": "cd"}, {"Image": "ef"}, ("one",),
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
