# SPDX-License-Identifier: GPL-2.0-or-later
"""apt's own words about mirrors, and what a private configuration takes over from the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab import apt
from panthorlab.errors import LabError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose `apt-get` and `apt-config` print the files `targets` and `config`."""
    for name, file in (("apt-get", "targets"), ("apt-config", "config")):
        (tmp_path / name).write_text(f"#!/bin/sh\ncat {tmp_path}/{file}\n")
        (tmp_path / name).chmod(0o755)
        (tmp_path / file).touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_mirrors(machine: Path) -> None:
    (machine / "list").write_text("# ours\nhttps://mirror.test/debian/\tpriority:1\nhttps://other.test/debian\n")
    (machine / "targets").write_text(
        "Docker|Docker CE|https://docker.test/\nDebian Backports|Debian Backports|http://backports.test/debian/\n"
        f"Debian|Debian|mirror+file:{machine}/list/\nDebian|Debian|http://second.test/debian/\n"
    )
    assert apt.mirrors() == {
        "debian": "https://mirror.test/debian",
        "debian-security": "https://mirror.test/debian-security",
    }
    with (machine / "targets").open("a") as file:
        file.write("Debian|Debian-Security|http://security.test/debian-security/\n")
    assert apt.mirrors()["debian-security"] == "http://security.test/debian-security"


def test_mirror_list_that_is_not_there(machine: Path) -> None:
    (machine / "targets").write_text(f"Debian|Debian|mirror+file:{machine}/none/\n")
    with pytest.raises(LabError, match=r"mirror list .*/none cannot be read"):
        apt.mirrors()


def test_machine_that_is_no_debian(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "targets").write_text("Ubuntu|Ubuntu|http://archive.test/ubuntu/\n")
    with pytest.raises(LabError, match="no mirror of Debian"):
        apt.mirrors()
    monkeypatch.setenv("PATH", str(machine / "empty"))
    with pytest.raises(LabError, match="no `apt-get` here: not a Debian"):
        apt.mirrors()


def test_private_configuration_takes_how_to_fetch_and_nothing_else(machine: Path) -> None:
    (machine / "config").write_text(
        'Acquire::http::Proxy "http://proxy.test:3128";\nAPT::Update::Post-Invoke:: "touch /pwned";\n'
        'Dir::Etc::parts "/etc/apt/apt.conf.d";\n'
    )
    private = apt.PrivateApt(machine / "private")
    private.configure(["deb http://m/debian trixie main"], "arm64")
    text = Path(private.env["APT_CONFIG"]).read_text()
    assert 'Acquire::http::Proxy "http://proxy.test:3128";' in text
    assert "pwned" not in text
    assert 'APT::Architectures "arm64";' in text
    assert "/etc/apt" not in text
    assert (machine / "private/sources.list").read_text() == "deb http://m/debian trixie main\n"


def test_failure_says_what_apt_said(machine: Path) -> None:
    (machine / "apt-get").write_text("#!/bin/sh\necho 'E: no way' >&2\nexit 100\n")
    with pytest.raises(LabError, match="`apt-get indextargets --format` failed: E: no way"):
        apt.mirrors()
