# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the end-to-end tests: the real command line on real kernels, in the user's own cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from panthorlab.kernel.build.reads import ReadFiles
from panthorlab.kernel.build.steps import objects_of
from panthorlab.kernel.job import build_side, prepare_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.store import load, read_record

from .kernel_history import Made, Tree, make_history

BUGS = Path(__file__).parents[2] / "benchmarks/bugs"
PATCHES = Path(__file__).parent / "patches"
HOUR = 3600


@dataclass(frozen=True)
class Done:
    """A finished command: its exit status, its JSON (None if there was none) and its stderr."""

    exit: int
    json: Any
    stderr: str


Cli = Callable[..., Done]


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run `panthorlab ARGUMENT… --json`."""

    def run(*arguments: str | Path, cwd: Path | None = None, timeout: float = HOUR, stdin: bytes = b"") -> Done:
        argv = [sys.executable, "-m", "panthorlab", *map(str, arguments), "--json"]
        done = subprocess.run(argv, capture_output=True, cwd=cwd, timeout=timeout, input=stdin, check=False)
        text = done.stdout.decode("utf-8", "replace")
        try:
            parsed = json.loads(text) if text.strip() else None
        except ValueError:
            raise AssertionError(f"no JSON on stdout: {text[:500]}\n{done.stderr.decode(errors='replace')}") from None
        return Done(done.returncode, parsed, done.stderr.decode("utf-8", "replace"))

    return run


COUNTED = ("probe", "heap-exit-claim", "heap-exit-watch", "heap-exit-controls", "uapi")


@pytest.fixture(scope="session")
def default_run(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The default job: the newest 6.12.y, without and with the fix; claim, watch and controls, and few of the other
    suites, for these take most of the time and what they say is not asked for here."""
    suites = (word for suite in COUNTED for word in ("--suite", suite))
    return cli("validate", *suites, "--output", tmp_path_factory.mktemp("default") / "run")


@pytest.fixture(scope="session")
def run_dir(default_run: Done) -> Path:
    """Its run directory; `RUN:before` is an unfixed kernel, `RUN:after` the fixed one."""
    assert default_run.json is not None, default_run.stderr
    return Path(default_run.json["run"])


@pytest.fixture(scope="session")
def build(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], str]:
    """Build the default base with patches of `tests/e2e/patches` and give the store key."""
    keys: dict[tuple[str, ...], str] = {}

    def run(names: Sequence[str]) -> str:
        if tuple(names) not in keys:
            files = [PATCHES / f"{name}.patch" for name in names]
            done = cli("build", *files, "--output", tmp_path_factory.mktemp("build"))
            assert done.exit == 0, done.stderr
            kernel = done.json["after"] if names else done.json["base"]
            keys[tuple(names)] = kernel["key"]
        return keys[tuple(names)]

    return run


@pytest.fixture(scope="session")
def module_kernels(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kernel, Kernel]:
    """Without and with the fix, panthor a module, with kexec; or `$PANTHORLAB_E2E_MODULE_KERNELS`, DIR:DIR."""
    if given := os.environ.get("PANTHORLAB_E2E_MODULE_KERNELS"):
        before, after = (read_record(Path(folder, "kernel.json")) for folder in given.split(":"))
        return before, after
    done = cli(
        "build",
        PATCHES / "without-fix.patch",
        "--config",
        "panthor-module",
        "--config",
        "virtual-rk",
        "--output",
        tmp_path_factory.mktemp("build"),
    )
    assert done.exit == 0, done.stderr
    without, base = load(done.json["after"]["key"]), load(done.json["before"]["key"])
    assert without is not None
    assert base is not None
    return without, base


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Of 24 commits the 15th brings the seed's bug back, two others bring other bugs, which its suite does not see."""

    def bug(number: str) -> Path:
        return next(BUGS.glob(f"{number}-*.patch"))

    repository = tmp_path_factory.mktemp("history") / "linux.git"
    plan, reads = prepare_kernel(None), ReadFiles()
    build_side(plan, log=repository.with_suffix(".log"))
    if (objects := objects_of(plan)).is_dir():
        reads.add(objects)
    return make_history(
        repository, Tree(plan.base, reads), bug("01"), commits=24, at=15, harmless=[bug("10"), bug("11")]
    )


def workload(result: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """One workload of a `validate --json`."""
    found: list[Mapping[str, Any]] = [item for item in result["workloads"] if item["name"] == name]
    assert found, f"no workload {name} in {[item['name'] for item in result['workloads']]}"
    return found[0]
