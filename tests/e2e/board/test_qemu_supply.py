# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU out of the Debian archive, into an empty cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab import debs
from panthorlab.board.emulated import qemu
from panthorlab.debs import Deb
from panthorlab.errors import LabError

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has no QEMU of its own, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(qemu, "_from_cache", [])
    monkeypatch.setattr(qemu, "installed_qemu", lambda: (None, ()))


def test_pinned_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    found = qemu.find_qemu(said.append)
    assert tuple(map(int, found.version.split(".")[:2])) >= qemu.MINIMUM
    assert found.origin.startswith("cache: ")
    assert any("downloading" in line for line in said)
    said.clear()
    monkeypatch.setattr(qemu, "_from_cache", [])
    monkeypatch.setattr(debs, "debian_mirror", lambda: pytest.fail("the second time needs no mirror"))
    assert qemu.find_qemu(said.append) == found
    assert said == []


def test_pinned_packages_that_are_gone_are_replaced_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Deb("pool/main/q/qemu/qemu-system-arm_10.1.0-0_amd64.deb", 1, "0" * 64)
    monkeypatch.setattr(qemu, "pinned_packages", lambda: [gone])
    said: list[str] = []
    assert qemu.find_qemu(said.append).version
    assert any("pinned QEMU packages cannot be had" in line for line in said)


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debs, "debian_mirror", lambda: "http://127.0.0.1:9/debian/")
    with pytest.raises(LabError, match=r"could not be downloaded|failed") as caught:
        qemu.find_qemu()
    assert caught.value.hint is not None
    assert "network" in caught.value.hint
    assert "install QEMU 10.1" in caught.value.hint
