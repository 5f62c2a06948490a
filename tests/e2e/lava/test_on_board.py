# SPDX-License-Identifier: GPL-2.0-or-later
"""What a LAVA job runs on the board, run on the emulated one by a real shell: the bug fails, the fix passes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from panthorlab.lava.artifacts import SCRIPT
from panthorlab.lava.job import Counted, iterate_arguments
from panthorlab.lava.main import declared
from panthorlab.run.kernels import resolve_kernel
from panthorlab.run.suites import all_suites
from tests.virtual_lab import packages

pytestmark = [pytest.mark.e2e, pytest.mark.wide]

LAVA = "/opt/panthorlab/on-board.sh"


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """busybox, our script, and LAVA's two commands, which only say what they were told."""
    import panthorlab

    tree = tmp_path_factory.mktemp("overlay")
    for folder in ("bin", "opt/panthorlab"):
        (tree / folder).mkdir(parents=True)
    busybox = packages.unpacked(("busybox-static",), "arm64", print) / "usr/bin/busybox"
    (tree / "bin/busybox").write_bytes(busybox.read_bytes())
    (tree / "opt/panthorlab" / SCRIPT).write_bytes((Path(panthorlab.__file__).parent / "lava" / SCRIPT).read_bytes())
    for command in ("case", "raise"):
        (tree / f"bin/lava-test-{command}").write_text(f'#!/bin/sh\necho "lava-test-{command} $*"\n')
    for file in (tree / "bin").iterdir():
        file.chmod(0o755)
    (tree / "opt/panthorlab" / SCRIPT).chmod(0o755)
    for applet in ("sh", "awk", "grep", "od", "tr", "wc", "tail", "cut", "sleep", "insmod"):
        (tree / "bin" / applet).symlink_to("busybox")
    return tree


@pytest.mark.parametrize(("side", "kernel_case"), [("before", "fail"), ("after", "pass")])
def test_bug_fails_and_fix_passes(run_dir: Path, overlay: Path, tmp_path: Path, side: str, kernel_case: str) -> None:
    kernel = resolve_kernel(f"{run_dir}:{side}", log=tmp_path / "build.log")
    work = next(declared(all_suites()["heap-exit-claim"]))
    item = Counted(work, 30)
    script = "\n".join([
        "export PATH=/bin", f"{LAVA} start", f"{LAVA} identity {kernel.build_id}",
        shlex.join([LAVA, "workload", item.case, str(item.count), *iterate_arguments(item)]),
        f"{LAVA} identity {'00' * 20}",
    ])  # fmt: skip
    argv = [
        "run",
        "--board",
        "qemu-g610",
        "--kernel",
        kernel.key,
        "--overlay",
        str(overlay),
        "--output",
        str(tmp_path / "run"),
        "--",
        "/bin/sh",
        "-c",
        script,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "panthorlab", *argv], capture_output=True, text=True, timeout=600, check=False
    )
    said = re.findall(r"^lava-test-.*$", done.stdout, re.MULTILINE)
    assert said[:3] == [
        "lava-test-case gpu --result pass", "lava-test-case identity --result pass",
        "lava-test-case heap-exit.exit.program --result pass",
    ], done.stdout + done.stderr  # fmt: skip
    assert re.fullmatch(
        rf"lava-test-case heap-exit\.exit\.kernel --result {kernel_case} --measurement \d+ "
        "--units records",
        said[3],
    )
    assert said[4] == "lava-test-case identity --result fail"
    assert said[5].startswith("lava-test-raise panthorlab: another kernel")
