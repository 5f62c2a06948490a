# SPDX-License-Identifier: GPL-2.0-or-later
"""The container image has what scripts/setup installs, because that installs it; and the unit files are sound."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from panthorlab.cli import COMMANDS
from panthorlab.options import parse
from panthorlab.paths import PACKAGE

ROOT = PACKAGE.parent
CONTAINERFILE = (ROOT / "scripts/Containerfile").read_text()
UNITS = ROOT / "scripts/systemd"


def instructions() -> list[tuple[str, str]]:
    """(word, rest) of each, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", CONTAINERFILE)
    lines = (line for line in joined.splitlines() if line and not line.startswith("#"))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def packages(*options: str) -> list[str]:
    done = subprocess.run([ROOT / "scripts/setup", *options], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.split()


def test_setup_tells_its_packages_and_does_nothing() -> None:
    found = packages("--packages")
    assert {"gcc-aarch64-linux-gnu", "bubblewrap", "python3-venv"} <= set(found)
    assert found == sorted(set(found))


def test_the_image_installs_by_setup_alone() -> None:
    runs = [rest for word, rest in instructions() if word == "RUN"]
    assert "./scripts/setup --runtime" in runs
    others = " ".join(rest for rest in runs if rest != "./scripts/setup --runtime").split()
    assert not {"apt", "apt-get", "pip", "curl", "wget"} & set(others)
    assert not set(packages("--packages")) & set(others), "facts stand in one place"


def test_what_setup_needs_is_copied_before_it_runs() -> None:
    order = [f"{word} {rest}" for word, rest in instructions()]
    copied = {name for line in order[: order.index("RUN ./scripts/setup --runtime")] if line.startswith("COPY ")
              for name in line.split()[1:-1]}  # fmt: skip
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {project["project"]["readme"], *wheel["packages"], *wheel["force-include"]}
    needed |= {"pyproject.toml", "requirements-ci.txt", "scripts/setup"}
    assert needed <= copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_as_nobody_special_and_keeps_its_cache() -> None:
    words = dict(instructions())
    assert words["USER"] == "panthorlab"
    assert words["VOLUME"] == "/cache"
    assert "XDG_CACHE_HOME=/cache" in words["ENV"]
    assert [word for word, _ in instructions()].index("USER") > [rest for _, rest in instructions()].index(
        "./scripts/setup --runtime"
    )
    assert "debian:" in words["ARG"]


def test_the_unit_starts_a_command_that_there_is() -> None:
    text = (UNITS / "panthorlab-nightly.service").read_text()
    (argv,) = re.findall(r"^ExecStart=\S*/panthorlab (.*)$", text, re.MULTILINE)
    if argv.split()[0] not in COMMANDS:
        pytest.skip("this version has no nightly")
    assert parse(argv.split()).file == Path("/etc/panthorlab/nightly.yaml")


def shipped_units() -> dict[str, str]:
    return {file.name: file.read_text() for file in UNITS.iterdir()}


def units_of_hosts() -> dict[str, str]:
    """As docs/hosts.md has them; one of a worker is number 1."""
    text = (ROOT / "docs/hosts.md").read_text()
    found = re.findall(r"^`/etc/systemd/system/(\S+)`.*?^```\n(\[Unit\].*?)^```", text, re.MULTILINE | re.DOTALL)
    return {name.replace("@.", "@1."): unit for name, unit in found}


@pytest.mark.parametrize(
    ("units", "names"),
    [
        (shipped_units, {"panthorlab-nightly.service", "panthorlab-nightly.timer"}),
        (units_of_hosts, {"panthorlab-scheduler.service", "panthorlab-worker@1.service"}),
    ],
)
def test_systemd_finds_nothing_wrong(tmp_path: Path, units: Callable[[], dict[str, str]], names: set[str]) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    assert set(units()) == names
    for name, text in units().items():
        (tmp_path / name).write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))

    def verify() -> str:
        argv = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in sorted(names))]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if "panthorlab" in line)

    assert verify() == ""
    service = tmp_path / min(names)
    service.write_text(service.read_text().replace("ProtectSystem=strict", "ProtectSystem=stricter"))
    assert "stricter" in verify(), "or it would accept anything"


def test_the_unit_is_hardened_and_leaves_the_jail_what_it_needs() -> None:
    text = (UNITS / "panthorlab-nightly.service").read_text()
    settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictSUIDSGID"):
        assert settings[name] == "yes"
    assert settings["ProtectSystem"] == "strict"
    assert settings["User"] == "panthorlab"
    for name in ("RestrictNamespaces", "ProtectKernelTunables", "ProtectProc", "ProcSubset", "MemoryDenyWriteExecute"):
        assert name not in settings, "bubblewrap could not mount /proc, QEMU not translate code"
