# SPDX-License-Identifier: GPL-2.0-or-later
"""The command streams of the workloads, against words that other software is known to use."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# `store` is igt-gpu-tools' panthor_group test; the rest follows Mesa's v10 instruction set description (v10.xml).
# `sync`: the SYNC_ADD64 of the kernel's own epilogue (panthor_sched.c, queue_run_job) without error propagation.
EXPECTED: Mapping[str, str] = {
    "store": "0144000001001000 02460000deadbeef 1546440000010000 0300000000ff0000 0246000000000000 2401460000000233 "
    "0300000000ff0000",
    "heap-bind": "0148800000003000 3000480000000000",
    "heap-operations": "3100000000000000 3100000100000000 3100000300000000",
    "spin": "160000006000ffff",
    "count-down": "02040000000003e8 10040400ffffffff 160004001000fffe",
    "sync": "3500444610000000 33005c5e00000000",
    "incremental-rendering": "1700000000000002 1900040600000002 14102800000f0028 0b00101200000000 15102800000ffff8",
    "tiler": "220000000000000c 2200000000000000 0900000000000000",
}


@pytest.fixture(scope="module")
def encoded(compile_guest: Callable[..., Path]) -> Mapping[str, str]:
    program = compile_guest("vectors", [HERE / "vectors.c"])
    lines = subprocess.run([program], check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines)


@pytest.mark.parametrize("name", EXPECTED)
def test_words(encoded: Mapping[str, str], name: str) -> None:
    assert encoded[name] == EXPECTED[name]


def test_every_sequence_is_checked(encoded: Mapping[str, str]) -> None:
    assert encoded.keys() == EXPECTED.keys()
