# SPDX-License-Identifier: GPL-2.0-or-later
"""Refused calls that lose memory are told of, also if each leaves a thread of the kernel behind."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Compile = Callable[..., Path]
LIGHT, HEAVY = "offsetof(struct call, op)", "offsetof(struct call, arg.group.vm_id)"


@pytest.mark.parametrize("call", [LIGHT, HEAVY])
@pytest.mark.parametrize(("kib", "stacks"), [(0, 0), (0, 16), (4, 0), (4, 16)])
def test_what_refused_calls_lose(compile_guest: Compile, call: str, kib: int, stacks: int) -> None:
    defines = [f"KIB={kib}", f"STACKS={stacks}", f"CALL={call}"]
    name = f"leaky_calls_{kib}_{stacks}_{'heavy' if call == HEAVY else 'light'}"
    program = compile_guest(name, [Path(__file__).with_name("leaky_calls.c")], defines)
    done = subprocess.run([program], capture_output=True, text=True, timeout=20, check=True)
    told = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert told == ["not ok a wrong call" if kib else "ok a wrong call", "ok a syncobj that is kept is seen"]
