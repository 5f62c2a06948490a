# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own Mesa, nothing changed, on the emulated GPU: an independent witness of the model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.wide]


def run(kernel: str, output: Path, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-m",
        "panthorlab",
        "run",
        "--kernel",
        kernel,
        "--overlay",
        "mesa-vulkan",
        "--quiet",
        "--output",
        str(output),
        *options,
        "--",
        "/bin/sh",
        "-c",
        script,
    ]
    return subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)


def test_vulkan_names_the_gpu_and_renders_as_mesa_itself_checks(run_dir: Path, tmp_path: Path) -> None:
    marks = "vkmark --winsys headless -b cube:duration=2 -b desktop:duration=2"
    script = f"vulkaninfo --summary && PANVK_DEBUG=sync {marks}"
    done = run(f"{run_dir}:after", tmp_path / "run", script)
    assert done.returncode == 0, done.stderr
    assert "Mali-G610" in done.stdout
    assert len(re.findall(r"FPS: [1-9]", done.stdout)) == 2
    assert '"unmodelled"' not in (tmp_path / "run" / "gpu-events.jsonl").read_text()


def test_a_client_that_exhausts_its_heap_renders_incrementally(run_dir: Path, tmp_path: Path) -> None:
    """More chunks than Mesa's heap may have: the driver says no, and the handler on the fragment queue frees some."""
    script = "PANVK_DEBUG=sync vkmark --winsys headless -b cube:duration=2"
    done = run(f"{run_dir}:after", tmp_path / "run", script, "--param", "gpu.tiler.chunks_per_job=70")
    assert done.returncode == 0, done.stderr
    assert re.search(r"FPS: [1-9]", done.stdout)
