# SPDX-License-Identifier: GPL-2.0-or-later
"""Versions in the Debian archive, and apt played by a script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from panthorlab.errors import LabError, SourceError
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source import apt, debian
from panthorlab.kernel.source.spec import resolve

SHOWSRC = f"""\
Package: linux
Version: 6.18.5-1~bpo13+1
Checksums-Sha256:
 {"0" * 64} 263040 linux_6.18.5-1~bpo13+1.dsc
 {"1" * 64} 151000000 linux_6.18.5.orig.tar.xz

Package: linux
Version: 6.18.5-2~bpo13+1
Checksums-Sha256:
 {"1" * 64} 151000000 linux_6.18.5.orig.tar.xz

Package: linux
Version: 7.3~rc7-1~exp1
Checksums-Sha256:
 {"2" * 64} 1 linux_7.3~rc7.orig.tar.xz

Package: linux-signed-amd64
Version: 6.18.9+1
"""

SHOW = f"""\
Package: linux-source-6.12
Version: 6.12.107-1~deb12u1
SHA256: {"3" * 64}

Package: linux-source-6.12
Version: 6.12.117-1~deb12u1
SHA256: {"4" * 64}
"""

# What the fake apt prints for each of its programs; downloads copy a file that the test has made.
APT = """\
#!/bin/sh
echo "$(basename "$0") $*" >> {log}
case "$(basename "$0") $1" in
"apt-cache showsrc") cat {home}/showsrc;;
"apt-cache show") cat {home}/show-$2 2>/dev/null || exit 100;;
"apt-get indextargets") echo 'Debian|Debian|http://mirror.test/debian/';;
"apt-get update") mkdir -p "$(dirname "$APT_CONFIG")/lists"; touch "$(dirname "$APT_CONFIG")/lists/x_Sources";;
"apt-get source") test -e {home}/orig.tar.xz || {{ echo "E: 404 Not Found" >&2; exit 100; }}
    for last; do :; done; version=${{last#*=}}
    cp {home}/orig.tar.xz ./linux_${{version%-*}}.orig.tar.xz;;
"apt-get download") cp {home}/package.deb .;;
esac
"""


@pytest.fixture
def fake_apt(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "apt"
    home.mkdir()
    for name in ("apt-cache", "apt-get", "apt-config"):
        (home / name).write_text(APT.format(home=home, log=home / "log"))
        (home / name).chmod(0o755)
    (home / "showsrc").write_text(SHOWSRC)
    (home / "show-linux-source-6.12").write_text(SHOW)
    (home / "log").touch()
    monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")
    return home


@pytest.fixture
def orig(fake_apt: Path, tree: Path) -> Path:
    subprocess.run(["tar", "-cJf", fake_apt / "orig.tar.xz", "-C", tree.parent, tree.name], check=True, timeout=60)
    return fake_apt / "orig.tar.xz"


@pytest.fixture
def package(fake_apt: Path, tree: Path, tmp_path: Path) -> Path:
    root = tmp_path / "deb"
    (root / "usr/src").mkdir(parents=True)
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(
        "Package: linux-source-6.12\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: x\n"
    )
    inner = root / "usr/src/linux-source-6.12.tar.xz"
    subprocess.run(["tar", "-cJf", inner, "-C", tree.parent, tree.name], check=True, timeout=60)
    deb = fake_apt / "package.deb"
    subprocess.run(["dpkg-deb", "-b", root, deb], check=True, capture_output=True, timeout=60)
    return deb


def test_showsrc() -> None:
    found = apt.parse_showsrc(SHOWSRC)
    assert [(source.upstream, source.version, source.sha256[0]) for source in found] == [
        ("6.18.5", "6.18.5-1~bpo13+1", "1"),
        ("6.18.5", "6.18.5-2~bpo13+1", "1"),
        ("7.3~rc7", "7.3~rc7-1~exp1", "2"),
    ]


def test_order_of_versions() -> None:
    versions = ["6.12.9", "6.12.73", "6.12.117", "7.3~rc7", "7.3", "7.3.4", "6.18.5-1~bpo13+1", "6.18.5-1"]
    ordered = sorted(versions, key=debian.version_order)
    assert ordered == ["6.12.9", "6.12.73", "6.12.117", "6.18.5-1~bpo13+1", "6.18.5-1", "7.3~rc7", "7.3", "7.3.4"]


def test_nearest_versions() -> None:
    known = [f"6.18.{number}" for number in (5, 9, 12, 15)] + ["6.12.1", "6.19.6", "6.1.1"]
    assert debian.nearest("6.18.10", known, 2) == ["6.18.9", "6.18.12"]
    assert debian.nearest("6.17.1", known, 2) == ["6.12.1", "6.18.5"]
    assert debian.nearest("6.99.1", known, 2) == ["6.18.15", "6.19.6"]


def test_archive_version(fake_apt: Path, orig: Path, files: dict[str, bytes], tmp_path: Path) -> None:
    source = resolve("debian:6.18.5")
    assert source.key == f"orig-{'1' * 64}"
    assert "6.18.5-2~bpo13+1" in source.title
    (tmp_path / "out").mkdir()
    source.unpack(tmp_path / "out", quiet)
    assert (tmp_path / "out/Makefile").read_bytes() == files["Makefile"]
    (fake_apt / "log").write_text("")
    assert resolve("debian:6.18.5").key == source.key
    assert (fake_apt / "log").read_text() == "", "what was resolved once needs no apt any more"


def test_the_system_is_left_alone(fake_apt: Path, orig: Path, cache: Path) -> None:
    resolve("debian:6.18.5")
    text = (cache / "apt/near/apt.conf").read_text()
    for setting in ("Dir::State ", "Dir::Cache ", "Dir::State::status ", "Dir::State::lists ", "Dir::Etc::parts "):
        line = next(line for line in text.splitlines() if line.startswith(setting))
        assert str(cache / "apt/near") in line
    assert "bookworm-security" in (cache / "apt/near/sources.list").read_text()


def test_a_tarball_that_the_mirror_lost_is_replaced_by_the_package(
    fake_apt: Path, package: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    (fake_apt / "show-linux-source-6.18").write_text(
        f"Package: linux-source-6.18\nVersion: 6.18.5-1~bpo13+1\nSHA256: {'5' * 64}\n"
    )
    source = resolve("debian:6.18.5")
    assert source.key == f"deb-{'5' * 64}"
    (tmp_path / "out").mkdir()
    source.unpack(tmp_path / "out", quiet)
    assert (tmp_path / "out/Makefile").read_bytes() == files["Makefile"]


def test_a_version_that_nobody_can_download(fake_apt: Path) -> None:
    with pytest.raises(LabError, match=r"cannot be downloaded.*404"):
        resolve("debian:6.18.5")


def test_a_version_that_the_archive_never_had(fake_apt: Path) -> None:
    with pytest.raises(SourceError, match=r"carries no Linux 6\.18\.7") as caught:
        resolve("debian:6.18.7")
    assert "6.18.5" in (caught.value.hint or "")


def test_release_candidate(fake_apt: Path, orig: Path) -> None:
    (fake_apt / "orig.tar.xz").rename(fake_apt / "x")
    with pytest.raises(LabError, match="cannot be downloaded"):
        resolve("debian:7.3-rc7")


def test_default_is_the_newest_of_the_machines_own(fake_apt: Path) -> None:
    assert resolve(None).title == "linux-source-6.12 6.12.117-1~deb12u1"
    (fake_apt / "log").write_text("")
    assert resolve("linux-source-6.12=6.12.107").key == f"deb-{'3' * 64}"
    assert (fake_apt / "log").read_text() == ""


def test_package_version_that_apt_lacks(fake_apt: Path) -> None:
    with pytest.raises(SourceError, match=r"no linux-source-6\.12 6\.12\.1") as caught:
        resolve("linux-source-6.12=6.12.1")
    assert "6.12.107-1~deb12u1" in (caught.value.hint or "")


def test_empty_lists_fall_back_to_the_archive(fake_apt: Path, package: Path) -> None:
    (fake_apt / "show-linux-source-6.12").rename(fake_apt / "later")
    with pytest.raises(SourceError, match="knows no package") as caught:
        resolve("linux-source-6.12")
    assert "apt-get update" in (caught.value.hint or "")
    (fake_apt / "showsrc").write_text(SHOWSRC.replace("6.18.5", "6.12.50"))
    said: list[str] = []
    (fake_apt / "orig.tar.xz").write_bytes(b"x")
    source = resolve(None, lambda step, *_: said.append(step))
    assert "6.12.50" in source.title
    assert any("this machine's apt knows no linux-source-6.12" in step for step in said)


def test_machine_without_a_mirror_of_debian(fake_apt: Path, cache: Path) -> None:
    (fake_apt / "apt-get").write_text("#!/bin/sh\necho 'Ubuntu|Ubuntu|http://mirror.test/ubuntu/'\n")
    with pytest.raises(LabError, match="no mirror of Debian") as caught:
        resolve("debian:6.18.5")
    assert caught.value.hint


def test_no_network(fake_apt: Path, cache: Path) -> None:
    (fake_apt / "apt-get").write_text(
        "#!/bin/sh\n[ $1 != indextargets ] || { echo 'Debian|Debian|http://mirror.test/debian/'; exit 0; }\n"
        "echo 'E: Could not resolve host' >&2\nexit 100\n"
    )
    with pytest.raises(LabError, match="cannot be reached: E: Could not resolve") as caught:
        resolve("debian:6.18.5")
    assert caught.value.hint
    assert caught.value.exit_status == 4


def test_package_is_unpacked(fake_apt: Path, package: Path, files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    resolve(None).unpack(tmp_path / "out", quiet)
    assert (tmp_path / "out/Makefile").read_bytes() == files["Makefile"]
