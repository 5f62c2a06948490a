# SPDX-License-Identifier: GPL-2.0-or-later
"""`--hosts` without hosts: addresses, names for paths, parcels, boots that are made again, and the talk with a host."""

from __future__ import annotations

import io
import json
import os
import tarfile
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.registry import open_board
from panthorlab.errors import LabError, UsageError
from panthorlab.options import parse
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.hosts.address import access_of
from panthorlab.run.hosts.crew import HERE, crew_of
from panthorlab.run.hosts.equal import unequal, which
from panthorlab.run.hosts.parcels import Parcel, kept, packed_logs, unpack
from panthorlab.run.hosts.places import HostPaths, shipped
from panthorlab.run.hosts.repeat import Repetition
from panthorlab.run.record import BoardUp, BootEnd, Doing, Note, Quota, Tested


def _options(*arguments: str) -> Namespace:
    return parse(["run", "--kernel", "k", *arguments])


@pytest.mark.parametrize(
    ("given_as", "address"),
    [
        ("127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("tcp://localhost:8786", "tcp://localhost:8786"),
        ("[::1]:8786", "tcp://[::1]:8786"),
        ("tls://build.example:8786", "tls://build.example:8786"),
    ],
)
def test_addresses_that_nobody_can_listen_to(given_as: str, address: str) -> None:
    access = access_of(_options("--hosts", given_as))
    assert access is not None
    assert access.address == address
    assert access.encrypted == address.startswith("tls")


@pytest.mark.parametrize(
    "address", ["10.0.0.1:8786", "tcp://build.example:8786", "127.0.0.1.example:8786", "[fe80::1]:1"]
)
def test_an_open_way_to_another_machine_is_refused_unless_it_is_asked_for(address: str) -> None:
    with pytest.raises(UsageError, match="can run code") as refused:
        access_of(_options("--hosts", address))
    assert "--hosts-insecure" in (refused.value.hint or "")
    assert access_of(_options("--hosts", address, "--hosts-insecure")) is not None


@pytest.mark.parametrize(
    "address", ["", "build.example", "tls://:1", "tls://a:0", "tls://a:70000", "ws://a:1", "a b:1"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--hosts"):
        access_of(_options("--hosts", address, "--hosts-insecure"))


def test_tls_files_make_the_way_encrypted_and_are_never_unused(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    access = access_of(_options("--hosts", "build.example:8786", "--hosts-tls-ca", str(file)))
    assert access is not None
    assert (access.address, access.tls) == ("tls://build.example:8786", {"tls_ca_file": str(file)})
    for wrong in (
        ("--hosts", "tcp://127.0.0.1:8786", "--hosts-tls-ca", str(file)),
        ("--hosts", "a:8786", "--hosts-tls-key", str(tmp_path / "none")),
        ("--hosts-tls-ca", str(file)),
        ("--hosts-insecure",),
        ("--hosts-lease", "5s"),
    ):
        with pytest.raises(UsageError):
            access_of(_options(*wrong))


def test_how_long_a_controller_may_be_silent_can_be_said() -> None:
    for said, lease in (((), 180.0), (("--hosts-lease", "1m"), 60.0)):
        access = access_of(_options("--hosts", "127.0.0.1:8786", *said))
        assert access is not None
        assert access.lease == lease


def test_without_hosts_all_is_done_here() -> None:
    with crew_of(_options(), (), lambda _text: None) as crew:
        assert crew is HERE


def test_a_real_board_is_where_it_is() -> None:
    rock = open_board("rock-5b")
    with pytest.raises(UsageError, match="rock-5b"), crew_of(_options("--hosts", "127.0.0.1:1"), [rock], print):
        pass


def test_a_command_is_for_this_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from panthorlab.cli import main

    assert main(["run", "--kernel", "k", "--hosts", "127.0.0.1:1", "--", "true"]) == 2
    assert "--hosts is for suites" in capsys.readouterr().err


# -- names for paths ---------------------------------------------------------------------------------------------


def test_paths_come_back_as_those_of_the_other_host() -> None:
    here = HostPaths({"log": Path("/runs/r/boots/b"), "run": Path("/runs/r"), "suites": Path('/my "own" süites')})
    there = HostPaths({"log": Path("/x/log"), "run": Path("/x"), "suites": Path("/opt/s")})
    job = {
        "log_dir": "/runs/r/boots/b",
        "map": "/runs/r/coverage",
        "suite": '/my "own" süites/test_a.py',
        "n": "/runs/r2/a",
    }
    sent = here.named(json.dumps(job))
    assert "/runs/r/" not in sent
    got = json.loads(there.real(sent))
    assert got == {"log_dir": "/x/log", "map": "/x/coverage", "suite": "/opt/s/test_a.py", "n": "/runs/r2/a"}
    assert json.loads(here.real(there.named(json.dumps(got)))) == job


@given(st.text())
def test_any_text_without_paths_passes_as_it_is(text: str) -> None:
    places = HostPaths({"log": Path("/runs/r/boots/b-π")})
    assert json.loads(places.named(json.dumps(text.replace("/runs/r/boots/b-π", "")))) == text.replace(
        "/runs/r/boots/b-π", ""
    )
    assert json.loads(places.real(json.dumps("<panthorlab:other>"))) == "<panthorlab:other>"


def test_suites_that_come_with_panthorlab_are_named() -> None:
    assert (shipped()["suites"] / "test_probe.py").is_file()


# -- parcels -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def _files(folder: Path) -> Path:
    folder.mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "tool").write_bytes(os.urandom(100))
    (folder / "bin" / "tool").chmod(0o755)
    (folder / "link").symlink_to("bin/tool")
    (folder / "lib").symlink_to("/usr")
    (folder / "other").write_text("not sent")
    return folder


def test_a_parcel_arrives_as_it_was_and_only_once(cache: Path) -> None:
    root = _files(cache / "root")
    parcel = Parcel.of("overlay", root, ["bin", "lib", "link"])
    fetched = []

    def fetch(file: io.BufferedIOBase) -> None:
        fetched.append(file)
        for piece in parcel.chunks():
            file.write(piece)

    for _ in range(2):
        found = kept("overlay", parcel.key, fetch)  # type: ignore[arg-type]
        assert sorted(path.name for path in found.rglob("*")) == ["bin", "lib", "link", "tool"]
        assert (found / "link").read_bytes() == (root / "bin" / "tool").read_bytes()
        assert (found / "bin" / "tool").stat().st_mode & 0o111
    assert len(fetched) == 1
    (root / "bin" / "tool").write_text("changed")
    assert Parcel.of("overlay", root, ["bin", "lib", "link"]).key != parcel.key


def test_a_parcel_with_other_content_is_refused_and_not_kept(cache: Path) -> None:
    parcel = Parcel.of("files-1", _files(cache / "root"))
    other = Parcel.of("files-1", _files(cache / "other"))

    def fetch(file: io.BufferedIOBase) -> None:
        file.writelines(other.chunks())

    for _ in range(2):
        with pytest.raises(LabError, match="was sent"):
            kept("files-1", parcel.key, fetch)  # type: ignore[arg-type]


def test_nothing_of_a_tar_lands_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("../out", str(tmp_path / "out")):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(name))
        with pytest.raises(LabError) if name.startswith("..") else nullcontext():
            unpack(io.BytesIO(data.getvalue()), folder)  # a leading slash is taken off
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    with pytest.raises(LabError, match="cannot be unpacked"):
        unpack(io.BytesIO(b"no tar"), folder)


def test_logs_come_back_without_what_the_controller_has(tmp_path: Path) -> None:
    root = _files(tmp_path / "log")
    (root / "lib").unlink()
    (root / "job.json").write_text("theirs")
    (tmp_path / "back").mkdir()
    unpack(io.BytesIO(packed_logs(root, frozenset({"job.json"}))), tmp_path / "back")
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["bin", "link", "other"]


# -- boots that are made again -----------------------------------------------------------------------------------


def _test(name: str, **more: object) -> Tested:
    fields = {"suite": "s", "test": name, "outcome": Outcome.PASS, "blame": None, "message": "", "seconds": 1.0, **more}
    return Tested(**fields)  # type: ignore[arg-type]


UP = BoardUp(name="b", facts={"host_cpu": 1})
END = BootEnd(complete=True, outcome=Outcome.PASS, blame=None)


def test_a_repetition_tells_only_what_was_not_told() -> None:
    told = [UP, Quota(workload="w", arm_total=4), _test("a"), Note(text="n")]
    up = replace(UP, facts={"host_cpu": 0})
    doing = Doing(text="QEMU started")  # which is of the moment, and on no record
    again = [up, doing, Quota(workload="w", arm_total=4), Note(text="n"), _test("a", seconds=9.0), _test("b"), END]
    repetition = Repetition(told)
    assert [event for event in again if repetition.is_new(event)] == [doing, _test("b"), END]


def test_a_repetition_that_tells_something_else_is_none() -> None:
    repetition = Repetition([_test("a")])
    with pytest.raises(LabError, match="another boot"):
        repetition.is_new(_test("a", outcome=Outcome.FAIL, blame=Blame.KERNEL))


SHAS = st.sampled_from(["a" * 64, "b" * 64])
PARTS = st.dictionaries(st.sampled_from(["one", "two"]), st.dictionaries(st.sampled_from(["x.py", "y.py", "z"]), SHAS))


@given(theirs=PARTS, ours=PARTS)
def test_each_file_that_differs_is_named_and_no_other(
    theirs: dict[str, dict[str, str]], ours: dict[str, dict[str, str]]
) -> None:
    found = which(theirs, ours)
    for part, mine in ours.items():
        there = theirs.get(part, {})
        other = {name for name in {*mine, *there} if mine.get(name) != there.get(name)}
        assert bool(other) == (part in found), "each part that differs says which file"
        assert all(f"{name} is" in str(found.values()) for name in other)
        assert not any(f"{name} is" in found.get(part, "") for name in {*mine, *there} - other)


def test_of_many_files_some_are_named() -> None:
    ours = {"the suites": {f"test_{number}.py": "a" for number in range(9)}, "all": {"test_0.py": "a", "x.py": "a"}}
    theirs = {"the suites": {"test_1.py": "b", "test_9.py": "a"}, "all": {"x.py": "b"}}
    assert which(theirs, ours) == {
        "the suites": "test_0.py is missing there, test_1.py is another one, test_2.py is missing there and 7 more",
        "all": "x.py is another one",
    }
    assert unequal("h", {"the suites": "1"}, {"the suites": "2"}, which(theirs, ours)).startswith(
        "boots on h would be others than here: the suites: test_0.py is missing there, "
    )


def test_unequal_hosts_are_told_with_what_differs() -> None:
    mine = {"panthorlab": "1", "the GPU model": "a" * 64}
    assert unequal("h", dict(mine), mine) == ""
    assert "the GPU model: bbbb" in unequal("h", {**mine, "the GPU model": "b" * 64}, mine)
    assert "panthorlab: None there" in unequal("h", {"the GPU model": "a" * 64}, mine)
