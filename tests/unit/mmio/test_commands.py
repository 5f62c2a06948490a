# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab replay-trace` on files: whole, damaged, compressed; and what it says of a difference."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panthorlab import cli
from panthorlab.errors import UsageError
from panthorlab.gpu.generations.g610 import G610
from panthorlab.mmio.main import read, write
from panthorlab.mmio.recording import Recording, RecordingHead, render
from tests.unit.mmio.driver import Driver

GPU_ID = G610.constant("GPU_ID")


def recording(driver: Driver, *, whole: bool = True) -> Recording:
    head = RecordingHead(
        "panthor", GPU_ID, "6.12.117", "ab", "rock-5b", "Radxa ROCK 5B", (0xFB000000, 1 << 21), ("x",), whole
    )
    return Recording(head, tuple(driver.steps))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    driver = Driver()
    driver.read("GPU_ID", GPU_ID)
    driver.boot()
    write(tmp_path / "good.jsonl", render(recording(driver)))
    return tmp_path / "good.jsonl"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    driver = Driver()
    driver.boot()
    for _ in range(3):
        driver.read("TILER_FEATURES", 0x909)
    driver.read("REVID", 7)
    write(tmp_path / "bad.jsonl.xz", render(recording(driver, whole=False)))
    return tmp_path / "bad.jsonl.xz"


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    status = cli.main(["replay-trace", *map(str, arguments), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["exit"] == status
    return result


def test_no_difference(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = as_json(capsys, good)
    assert (result["exit"], result["differences"], result["model"]) == (0, [], "g610")
    assert result["registers"]["GPU_ID"] == 1
    assert cli.main(["replay-trace", str(good)]) == 0
    assert capsys.readouterr().out.endswith("no difference\n")


def test_differences_are_told_once_each_with_what_led_to_them(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = as_json(capsys, bad)
    assert result["exit"] == 3
    assert not result["whole"]
    assert [(one["access"], one["register"], one["board"], one["model"]) for one in result["differences"]] == [
        (10, "TILER_FEATURES", "0x909", "0x809"),
        (13, "REVID", "0x7", "0x0"),
    ]
    assert result["differences"][0]["fields"] == [{"name": "max_levels", "board": 9, "model": 8}]
    assert result["differences"][0]["before"][-2]["register"] == "JOB_INT_CLEAR"
    assert cli.main(["replay-trace", str(bad)]) == 3
    said = capsys.readouterr().out
    assert "first difference: access 10, read of TILER_FEATURES (0xc)" in said
    assert "REVID" not in said
    assert "1 more" in said
    assert cli.main(["replay-trace", str(bad), "--all"]) == 3
    assert "difference 2: access 13, read of REVID" in capsys.readouterr().out


def test_a_recording_of_nothing_that_can_be_compared_is_no_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    driver = Driver()
    driver.read("TIMESTAMP_LO", 4)
    write(tmp_path / "x.jsonl", render(recording(driver)))
    assert as_json(capsys, tmp_path / "x.jsonl")["exit"] == 3


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gzip", "xz"])
def test_a_recording_may_be_packed_and_be_called_anything(good: Path, pack: Any, tmp_path: Path) -> None:
    (tmp_path / "attachment").write_bytes(pack(good.read_bytes()))
    assert read(tmp_path / "attachment") == read(good)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_it_is_packed_as_its_name_says(good: Path, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"again.jsonl{suffix}"
    write(file, render(read(good)))
    assert read(file) == read(good)
    assert (file.read_bytes()[:1] == b"{") is (not suffix)


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"\x1f\x8b\0\0", b"\xfd7zXZ\0damaged", b"\xff\xfe", b'{"format": 1}\n']
)
def test_what_is_no_recording_is_bad_input(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_bytes(content)
    assert cli.main(["replay-trace", str(tmp_path / "x")]) == 2
    assert "hint" in capsys.readouterr().err or content[:1] in (b"\x1f", b"\xfd", b"\xff")


@pytest.mark.parametrize("arguments", [["missing"], ["."], ["good.jsonl", "--model", "g9"]])
def test_what_cannot_be_is_usage(arguments: list[str], good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(good.parent)
    assert cli.main(["replay-trace", *arguments]) == 2


@given(junk=st.binary(max_size=40), at=st.integers(0, 400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_found_or_harmless(junk: bytes, at: int, bad: Path) -> None:
    data = bad.read_bytes()
    (bad.parent / "damaged").write_bytes(data[:at] + junk + data[at + len(junk) :])
    try:
        found = read(bad.parent / "damaged")
    except UsageError:
        return
    assert found == read(bad)
