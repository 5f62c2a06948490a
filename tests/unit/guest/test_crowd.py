# SPDX-License-Identifier: GPL-2.0-or-later
"""`crowd` on the host, with shell scripts for clients and a file for the GPU: who is killed, and what that proves."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from panthorlab.run.ktap import info

Compile = Callable[..., Path]

OPEN = "exec 9<{node}; "


@dataclass(frozen=True)
class Ran:
    status: int
    out: str

    @property
    def facts(self) -> dict[str, int]:
        return {key: int(value) for key, value in info(self.out.splitlines()).items()}


Crowd = Callable[..., Ran]


@pytest.fixture
def crowd(compile_guest: Compile, tmp_path: Path) -> Crowd:
    node = tmp_path / "renderD128"
    node.touch()
    name = re.sub(r"\W", "_", str(tmp_path))
    sources = ["crowd.c", "crowd-clients.c", "warm.c", "ktap.c", "options.c", "util.c"]
    program = compile_guest(f"crowd{name}", sources, [f'NODE="{tmp_path}/renderD"'])

    def run(*options: str, client: str) -> Ran:
        argv = [str(program), *options, "--", "/bin/sh", "-c", client.format(node=node)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (0, 1), done.stderr
        assert ("\nok 1 clients" in done.stdout) == (done.returncode == 0)
        return Ran(done.returncode, done.stdout)

    return run


def test_all_end_by_themselves(crowd: Crowd) -> None:
    ran = crowd("--count", "5", "--at-once", "2", client="true")
    assert ran.status == 0
    assert (ran.facts["ended"], ran.facts["killed"]) == (5, 0)
    assert "# terminations 5" in ran.out


def test_a_client_that_fails_is_told_with_its_words_and_no_other_is_started(crowd: Crowd) -> None:
    ran = crowd("--count", "50", client="echo device lost >&2; exit 3")
    assert ran.status == 1
    assert "a client ended with status 3" in ran.out
    assert "#   device lost" in ran.out
    assert "1 of 1 clients failed" in ran.out
    assert "died of signal 6" in crowd(client="kill -6 $$").out


def test_killed_only_with_the_gpu_open_however_late_it_opens_it(crowd: Crowd) -> None:
    ran = crowd("--count", "4", "--at-once", "2", "--kill-ms", "0:20", client="sleep 0.2; " + OPEN + "sleep 60")
    assert ran.status == 0
    assert ran.facts["killed"] == 4


def test_open_twice_is_another_moment(crowd: Crowd) -> None:
    ran = crowd("--open", "2", "--kill-ms", "0:0", client=OPEN + "sleep 0.3; exec 8<{node}; sleep 60")
    assert ran.facts["killed"] == 1
    assert ran.facts["us"] > 300_000
    once = crowd("--open", "2", "--kill-ms", "0:0", client=OPEN + "sleep 0.1")
    assert once.status == 1
    assert "all 1 clients ended before they could be killed" in once.out


def test_warm_clients_are_started_once_and_each_opens_the_gpu_itself(crowd: Crowd, tmp_path: Path) -> None:
    client = f"echo s >>{tmp_path}/starts; {OPEN}echo o >>{tmp_path}/opens; "
    ran = crowd(
        "--warm",
        "--count",
        "6",
        "--at-once",
        "3",
        "--together",
        "3",
        "--kill-ms",
        "300:400",
        client=client + "while :; do :; done",
    )
    assert ran.status == 0, ran.out
    assert ran.facts["killed"] == 6
    assert (tmp_path / "starts").read_text().split() == ["s"]
    assert (tmp_path / "opens").read_text().split() == ["o"] * 6
    ended = crowd("--warm", "--count", "5", "--at-once", "2", client=OPEN + "[ $$ -gt 1 ] && read -r line <&9; true")
    assert (ended.status, ended.facts["ended"]) == (0, 5)


def test_warm_clients_that_fail_are_told(crowd: Crowd) -> None:
    ran = crowd("--warm", "--count", "50", client=OPEN + "echo device lost >&2; exit 3")
    assert ran.status == 1
    assert "a client ended with status 3" in ran.out
    assert "#   device lost" in ran.out


@pytest.mark.parametrize(
    ("client", "why"),
    [
        ("true", "ended before it opened the GPU"),
        ("sleep 0.01; " + OPEN, "has children or threads"),
        ("kill -6 $$", "ended before it opened the GPU"),
    ],
)
def test_who_cannot_be_held_before_the_gpu_is_no_success(crowd: Crowd, client: str, why: str) -> None:
    ran = crowd("--warm", "--count", "3", "--kill-ms", "0:5", client=client)
    assert ran.status == 1
    assert why in ran.out


def test_who_never_opens_the_gpu_is_not_killed_and_that_is_no_success(crowd: Crowd) -> None:
    ran = crowd("--count", "3", "--kill-ms", "0:5", client="true")
    assert ran.status == 1
    assert ran.facts["killed"] == 0


def test_a_crowd_that_was_none_is_no_success(crowd: Crowd) -> None:
    together = crowd("--count", "4", "--at-once", "4", "--together", "4", client=OPEN + "sleep 1")
    assert together.status == 0
    assert together.facts["at_once"] == 4
    alone = crowd("--count", "4", "--at-once", "2", "--together", "3", client=OPEN + "sleep 0.3")
    assert alone.status == 1
    assert "only 2 clients had the GPU open at the same time" in alone.out


@pytest.mark.parametrize(
    "options",
    [("--count", "0"), ("--at-once", "65"), ("--at-once", "x"), ("--kill-ms", "5"), ("--kill-ms", "9:5"), ("--nix",)],
)
def test_wrong_usage(crowd: Crowd, options: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match="crowd"):
        crowd(*options, client="true")
