# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `panthorlab scan`: files, standard input, packed files, exit status, both outputs."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from panthorlab.kmsg import JSON_FIELDS, scan_main, sources

NOISE = random.Random(1).randbytes(300_000)  # noqa: S311 - not for secrets
FAULT = b"""\
[    0.600000] random: crng init done
[    0.677142] panthor x: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x0000800000003000
[    0.677142] raw fault status: 0x7CD003C3
[    0.677142] decoded fault status: SLAVE FAULT
[    0.677142] exception type 0xC3: TRANSLATION_FAULT_3
[    0.677142] access type 0x3: WRITE
[    0.677142] source id 0x7CD0
"""


def run(*files: Path | str, fail_on: tuple[str, ...] = (), as_json: bool = False) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    status = scan_main([str(file) for file in files], json=as_json, fail_on=fail_on, out=out, err=err)
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "dmesg.log"
    path.write_bytes(FAULT * 3)
    return path


def test_json_is_the_contract(log: Path) -> None:
    status, out, err = run(log, as_json=True)
    findings = json.loads(out)["findings"]
    assert (status, err) == (0, "")
    assert [finding["line"] for finding in findings] == [2, 9, 16]
    first = findings[0]
    assert tuple(first) == JSON_FIELDS
    text = first.pop("text")
    assert first == {
        "kind": "mmu-fault", "driver": "panthor", "device": "x", "timestamp": 0.677142, "as": 1,
        "va": "0x0000800000003000", "raw_status": "0x7CD003C3", "exception_type": 0xC3,
        "exception": "TRANSLATION_FAULT_3", "access": "WRITE", "source_id": "0x7CD0", "pid": None, "comm": None,
        "owner": None, "signature": "mmu-fault:panthor:TRANSLATION_FAULT_3:WRITE:csf", "line": 2,
    }  # fmt: skip
    assert text.split("\n")[-1] == "source id 0x7CD0"


def test_summary_groups_by_signature_and_decodes_one_fault(log: Path) -> None:
    status, out, _ = run(log)
    assert status == 0
    assert "3 findings, 1 different" in out
    assert f"{log}:2" in out
    assert "firmware (MCU) wrote to 0x0000800000003000" in out


def test_exit_status(log: Path, tmp_path: Path) -> None:
    assert run(log, fail_on=("mmu-fault",))[0] == 1
    assert run(log, fail_on=("oops", "kasan"))[0] == 0
    status, _, err = run(log, fail_on=("page-fault",))
    assert status == 2
    assert "no such kind: page-fault" in err
    status, out, err = run(tmp_path / "none.log", log)
    assert status == 2
    assert "none.log" in err
    assert "3 findings" in out
    assert run(tmp_path)[0] == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_is_said_of_what_was_not_read(tmp_path: Path, as_json: bool) -> None:
    status, out, err = run(tmp_path / "none.log", tmp_path, as_json=as_json)
    assert (status, out) == (2, "")
    assert err == (
        f"panthorlab scan: {tmp_path}/none.log: No such file or directory\n"
        f"panthorlab scan: {tmp_path}: Is a directory\n"
    )


def test_what_is_said_when_a_part_was_read(log: Path, tmp_path: Path) -> None:
    empty, none = tmp_path / "empty", tmp_path / "none.log"
    empty.write_bytes(b"")
    assert run(empty, none, log)[0] == 2
    document = json.loads(run(none, log, as_json=True)[1])
    assert len(document["findings"]) == 3
    assert document["unreadable"] == {str(none): "No such file or directory"}


def test_findings_before_the_damage_are_kept(tmp_path: Path) -> None:
    packed = gzip.compress(FAULT + b"quiet\n" * 500_000)
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    status, out, err = run(tmp_path / "cut.gz")
    assert (status, "1 finding," in out, "cut.gz: Compressed file ended" in err) == (2, True, True)


def test_a_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert run("-") == (2, "", "panthorlab scan: -: standard input is closed\n")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"), (NOISE, "not one line looks like a kernel log"),
        (b"Dear all,\nthe GPU hangs.\n", "not one line looks like a kernel log"),
        (b"May 04 22:10:01 rock5 systemd[1]: Started foo\n", "not one line looks like a kernel log"),
    ],
    ids=["empty", "random", "prose", "no kernel"],
)  # fmt: skip
def test_what_is_no_kernel_log_is_named_and_is_no_pass(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "x").write_bytes(content)
    name = str(tmp_path / "x")
    assert run(name) == (0, "no findings in what could be read\n", f"panthorlab scan: {name}: {why}\n")
    assert run(name, fail_on=("oops",))[0] == 2
    document = json.loads(run(name, as_json=True)[1])
    assert document == {"findings": [], "seen": {}, "unreadable": {name: why}}


def test_a_healthy_log_passes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"[    0.6] random: crng init done\n")
    assert run(tmp_path / "x", fail_on=("oops",)) == (
        0, f"{tmp_path}/x: no Mali driver; no GPU was probed\nno findings\n", ""
    )  # fmt: skip


def test_scan_begins_with_what_it_saw(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"""\
[    0.000000] Linux version 6.12.117-dirty (a@b) (gcc) #1 SMP
[    0.000000] Machine model: Radxa ROCK 5B
[    2.931207] panthor fb000000.gpu: [drm] clock rate = 198000000
[    2.933049] panthor fb000000.gpu: [drm] mali-g610 id 0xa867 major 0x0 minor 0x0 status 0x5
[    2.940000] panthor fb000000.gpu: [drm] Firmware git sha: 814b47b551159067b67a37c4e9adda458ad9d852
[    2.940000] panthor fb000000.gpu: [drm] CSF FW using interface v1.1.0, Features 0x0 Instrumentation features 0x71
[    2.950000] [drm] Initialized panthor 1.3.0 for fb000000.gpu on minor 1
""")
    assert json.loads(run(tmp_path / "x", as_json=True)[1])["seen"] == {
        f"{tmp_path}/x": {
            "kernel": ["6.12.117-dirty"], "machine": ["Radxa ROCK 5B"],
            "drivers": [{"name": "panthor", "version": "1.3.0"}],
            "gpu": ["mali-g610 id 0xa867 major 0x0 minor 0x0 status 0x5"],
            "firmware": ["v1.1.0", "814b47b551159067b67a37c4e9adda458ad9d852"],
        }
    }  # fmt: skip
    out = run(tmp_path / "x")[1]
    assert out.startswith(f"{tmp_path}/x: panthor 1.3.0; GPU mali-g610 id 0xa867")
    assert "Radxa ROCK 5B" in out


def test_compare_tells_what_is_new_and_only_that_fails(log: Path, tmp_path: Path) -> None:
    old, hang = tmp_path / "old.log", b"[    9.000000] panthor x: [drm] job timeout\n"
    old.write_bytes(FAULT)
    more = scan_main([str(log)], compare=[str(old)], json=True, out=(out := io.StringIO()), err=io.StringIO())
    (row,) = json.loads(out.getvalue())["compared"]
    assert (row["change"], row["old"], row["new"]) == ("more", 1, 3)
    assert more == 0
    new = tmp_path / "new.log"
    new.write_bytes(FAULT + hang)

    def status(old: Path, new: Path, *fail_on: str) -> int:
        return scan_main([str(new)], compare=[str(old)], fail_on=fail_on, out=io.StringIO(), err=io.StringIO())

    assert status(old, new, "mmu-fault") == 0
    assert status(old, new, "job-timeout") == 1
    assert status(old, log, "mmu-fault") == 1
    assert status(new, old, "job-timeout") == 0
    assert status(tmp_path / "none.log", new, "mmu-fault") == 2


def archive_of(files: dict[str, bytes]) -> bytes:
    with tarfile.open(fileobj=(out := io.BytesIO()), mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(out := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


PACKED = {
    "a.gz": gzip.compress(FAULT), "b.xz": lzma.compress(FAULT), "c.bz2": bz2.compress(FAULT),
    "d.lzma": lzma.compress(FAULT, lzma.FORMAT_ALONE), "e.zip": zip_of({"dmesg.txt": FAULT, "readme": b"hi\n"}),
    "f.tar.gz": archive_of({"sub/dmesg.txt": FAULT}), "g.zip": zip_of({"h.tar.gz": archive_of({"x": FAULT})}),
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("from_stdin", [False, True])
def test_packed_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, from_stdin: bool) -> None:
    (tmp_path / name).write_bytes(PACKED[name])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PACKED[name])))
    status, out, err = run("-" if from_stdin else tmp_path / name, fail_on=("oops",))
    assert (status, "1 finding," in out, err) == (0, True, "")
    assert run(tmp_path / name, fail_on=("mmu-fault",))[0] == 1


@pytest.mark.parametrize("name", PACKED)
def test_damaged_packed_files_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACKED[name][: len(PACKED[name]) * 2 // 3])
    status, _, err = run(tmp_path / name)
    assert (status, name in err) == (2, True)


@pytest.mark.parametrize(
    ("start", "word"),
    [
        (b"\x28\xb5\x2f\xfd", "zstdcat"),
        (b"\x04\x22\x4d\x18", "lz4cat"),
        (b"LPKSHHRH", "journalctl"),
        (b"7z\xbc\xaf\x27\x1c", "7z x"),
    ],
)
def test_what_is_not_unpacked_is_named_with_what_unpacks_it(tmp_path: Path, start: bytes, word: str) -> None:
    (tmp_path / "x").write_bytes(start + b" rest")
    status, out, err = run(tmp_path / "x")
    assert (status, out, word in err) == (2, "", True)


def test_a_bomb_is_not_unpacked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_UNPACKED", 1 << 20)
    for name, bomb in (("a.gz", gzip.compress(bytes(8 << 20))), ("b.zip", zip_of({"x": b"[   1.0] y\n" * (1 << 18)}))):
        (tmp_path / name).write_bytes(bomb)
        status, _, err = run(tmp_path / name)
        assert (status, "unpacks to more than 1 MiB" in err) == (2, True)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FAULT)))
    assert "1 finding," in run("-")[1]
