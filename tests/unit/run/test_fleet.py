# SPDX-License-Identifier: GPL-2.0-or-later
"""Choosing the boards of a run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from panthorlab.board import lab
from panthorlab.board.board import Board
from panthorlab.board.boardtime import TimeName
from panthorlab.board.registry import open_board
from panthorlab.errors import ConfigError, LabError, UsageError
from panthorlab.run import fleet
from panthorlab.run.fleet import Lane
from panthorlab.run.record import Settings
from panthorlab.run.record.codec import decode

REAL = """\
type: real
tags: [bench{tag}]
kernel_configs: [{config}]
console: {{transport: tcp, host: localhost, port: 4000}}
power: {{driver: manual}}
ssh: {{host: localhost}}
boot: {{methods: [kexec, module-swap], console: ttyS2, root: root=/dev/mmcblk1p2}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PANTHORLAB_LAB", raising=False)
    configs = tmp_path / "board_configs"
    configs.mkdir()
    for name in ("a", "b", "c"):
        (configs / f"{name}.yaml").write_text(REAL.format(config="bench", tag=""))
    (configs / "odd.yaml").write_text(REAL.format(config="other", tag="x"))
    monkeypatch.setenv("PANTHORLAB_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return configs


def options(*boards: str, tag: str | None = None, method: str = "auto") -> argparse.Namespace:
    return argparse.Namespace(board=list(boards) or None, tag=tag, boot_method=method, time=None, wait=9.0, jobs=2)


def keys(boards: Sequence[Board]) -> list[str]:
    return [board.key for board in boards]


def test_default_is_the_emulated_board_in_copies() -> None:
    chosen = fleet.choose(options())
    assert keys(chosen.boards) == ["qemu-g610"]
    settings = decode(Settings, fleet.recorded(options(), chosen) | {"jobs": 3})
    assert fleet.lanes(chosen.boards, settings) == [Lane(chosen.boards[0])] * 3
    assert Settings(board="qemu-g610").board_names == ("qemu-g610",), "as runs of earlier versions have it"
    assert keys(fleet.reopened(Settings(board="qemu-g610"))) == ["qemu-g610"]


@pytest.mark.parametrize(
    ("boards", "coverage", "time", "expected"),
    [
        (["qemu-g610"], False, None, True),
        (["qemu-g610"], False, TimeName.EXACT, True),
        (["qemu-g610"], False, TimeName.HOST, False),
        (["qemu-g610"], True, TimeName.HOST, True),
        (["qemu-g610", "a"], False, TimeName.EXACT, False),
        (["a"], True, None, True),
    ],
)
def test_lines_are_measured_when_asked_for_and_always_in_exact_time(
    boards: list[str], coverage: bool, time: TimeName | None, expected: bool
) -> None:
    assert fleet.measured([open_board(board) for board in boards], coverage=coverage, time=time) is expected


def test_real_boards_have_a_lane_each_whatever_jobs_says() -> None:
    chosen = fleet.choose(options("a", "b"))
    settings = decode(Settings, fleet.recorded(options("a", "b"), chosen) | {"jobs": 8})
    assert fleet.lanes(chosen.boards, settings) == [Lane(board, 9.0) for board in chosen.boards]
    assert settings.board == "a, b"
    assert fleet.lanes(chosen.boards[:1], settings) == [Lane(chosen.boards[0], 9.0)]


def test_tag_takes_what_is_free_and_says_what_is_not(folder: Path) -> None:
    lab.quarantine("b", "broken")
    (folder / "bad.yaml").write_text("type: real\n")
    with lab.lease("c", "/runs/x"):
        chosen = fleet.choose(options(tag="bench"))
    assert keys(chosen.boards) == ["a"]
    said = "\n".join(chosen.notes)
    for part in ("b is left out: quarantined broken", "c is left out: leased by", "/runs/x", "bad is left out"):
        assert part in said
    settings = decode(Settings, fleet.recorded(options(tag="bench"), chosen) | {"jobs": 2})
    waits = [lane.wait for lane in fleet.lanes(chosen.boards, settings)]
    assert waits == [0.0], "nobody waits for boards that were found by a tag"


def test_a_file_that_is_an_example_is_no_board(folder: Path) -> None:
    (folder / "b.yaml").write_text(REAL.format(config="bench", tag="") + "example: true\n")
    assert keys(fleet.choose(options(tag="bench")).boards) == ["a", "c"]
    with pytest.raises(UsageError, match="the file of board b is an example") as caught:
        fleet.choose(options("b"))
    assert "EDIT" in str(caught.value.hint)
    (folder / "only.yaml").write_text(REAL.format(config="bench", tag="-only") + "example: true\n")
    with pytest.raises(UsageError, match=r"no board has the tag `bench-only`; only examples have, .*: only"):
        fleet.choose(options(tag="bench-only"))
    assert fleet.fragments_of([open_board("only")], []) == ("panthor", "bench"), "kernels can be built for it"


def test_tag_without_a_free_board_is_the_labs_fault_and_an_unknown_one_the_users() -> None:
    lab.quarantine("odd", "broken")
    with pytest.raises(LabError, match="no board with the tag `benchx` is free: board odd is left out: quarantined"):
        fleet.choose(options(tag="benchx"))
    with pytest.raises(UsageError, match="no board has the tag `none`"):
        fleet.choose(options(tag="none"))


@pytest.mark.parametrize(("arguments", "said"), [
    (options("a", tag="bench"), "two ways"),
    (options("a", "a"), "a is given twice"),
    (options("a", "board_configs/a.yaml"), "a is given twice"),
    (options("a", "odd"), "need the same kernel, but these differ: a: arm64, bench; odd: arm64, other"),
    (options("a", "nobody"), "no board `nobody`"),
    (options("a", method="extlinux"), "not set up for --boot-method extlinux"),
    (options("qemu-g610", method="kexec"), "emulated: it has no --boot-method kexec"),
])  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_built(arguments: argparse.Namespace, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fleet.choose(arguments)


def test_kernels_that_are_too_old_for_a_board(folder: Path) -> None:
    fleet.check_release([open_board("a")], "6.10.0")
    (folder / "b.yaml").write_text(REAL.format(config="bench", tag="") + 'since: "6.13"\n')
    boards = fleet.named(options("a", "b"))
    for release in ("6.13", "6.13.0-rc1", "6.18.5", "7.0-rc3", "10.1.2+"):
        fleet.check_release(boards, release)
    for release in ("6.12.117", "6.9", "5.19.17"):
        with pytest.raises(UsageError, match=r"board b needs Linux 6\.13 or newer: the device tree of " + release):
            fleet.check_release(boards, release)


def test_board_that_was_named_is_refused_if_quarantined_and_its_file_checked(folder: Path) -> None:
    assert keys(fleet.choose(options("a", "b", method="kexec")).boards) == ["a", "b"]
    lab.quarantine("b", "broken")
    with pytest.raises(lab.QuarantinedError, match="broken"):
        fleet.choose(options("a", "b"))
    (folder / "bad.yaml").write_text("type: real\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        fleet.choose(options("bad"))


def test_path_of_a_board_file_is_kept_whole(folder: Path) -> None:
    (board,) = fleet.choose(options("board_configs/a.yaml")).boards
    assert (board.name, board.key, board.path) == ("a", str(folder / "a.yaml"), folder / "a.yaml")


def test_command_runs_on_one_board() -> None:
    assert fleet.choose_one(options(tag="benchx")).name == "odd"
    with pytest.raises(UsageError, match="one board"):
        fleet.choose_one(options("a", "b"))


def test_fragments_are_those_of_the_boards() -> None:
    assert fleet.fragments_of(fleet.named(options("a", "b")), ["kasan"]) == ("panthor", "bench", "kasan")
    with pytest.raises(UsageError, match="these differ"):
        fleet.fragments_of(fleet.named(options("a", "odd")), [])


def test_fragments_that_measure_lines_are_those_of_the_boards() -> None:
    emulated, real = fleet.named(options("qemu-g610")), fleet.named(options("a"))
    assert fleet.fragments_of(emulated, ["kasan"]) == ("panthor", "qemu-virt", "coverage", "kasan")
    assert fleet.fragments_of(emulated, ["gcov"], coverage=True) == ("panthor", "qemu-virt", "gcov")
    assert fleet.fragments_of(real, [], coverage=True) == ("panthor", "bench", "gcov")


def test_a_run_gives_back_what_a_killed_one_holds_in_labgrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a run that wants no labgrid place itself: another person may be waiting for that one."""
    client, called = tmp_path / "labgrid-client", tmp_path / "called"
    client.write_text(f'#!/bin/sh\necho "$LG_USERNAME: $*" >>{called}\n')
    client.chmod(0o755)
    monkeypatch.setenv("PANTHORLAB_LABGRID", str(client))
    record = lab.lab_dir() / "0123456789abcdef.labgrid"
    record.write_text(json.dumps({"place": "shelf", "pid": 7, "coordinator": "h:1", "host": "h", "user": "me+x+1"}))
    notes: list[str] = []
    with open_board("a").leased(tmp_path, wait=0, on_note=notes.append):
        assert not record.exists()
    assert called.read_text() == "me+x+1: -x h:1 -p shelf release-from h/me+x+1\n"
    assert notes == ["labgrid: released place shelf, which a controller that died (process 7) still held"]
