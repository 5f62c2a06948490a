# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `panthorlab scan`: files, standard input, packed files, exit status, both outputs."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import sys
from pathlib import Path

import pytest

from panthorlab.kmsg import JSON_FIELDS, scan_main

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
    assert err == (f"panthorlab scan: {tmp_path}/none.log: No such file or directory\n"
                   f"panthorlab scan: {tmp_path}: Is a directory\n")


def test_what_is_said_when_a_part_was_read(log: Path, tmp_path: Path) -> None:
    empty, none = tmp_path / "empty", tmp_path / "none.log"
    empty.write_bytes(b"")
    assert run(empty, none)[:2] == (2, "no findings in what could be read\n")
    document = json.loads(run(none, log, as_json=True)[1])
    assert len(document["findings"]) == 3
    assert document["unreadable"] == {str(none): "No such file or directory"}


def test_findings_before_the_damage_are_kept(tmp_path: Path) -> None:
    packed = gzip.compress(FAULT + b"quiet\n" * 500_000)
    (tmp_path / "cut.gz").write_bytes(packed[:len(packed) // 2])
    status, out, err = run(tmp_path / "cut.gz")
    assert (status, "1 finding," in out, "cut.gz: Compressed file ended" in err) == (2, True, True)


def test_a_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert run("-") == (2, "", "panthorlab scan: -: standard input is closed\n")


def test_an_empty_log_has_no_findings(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert run(tmp_path / "empty") == (0, "no findings\n", "")
    assert json.loads(run(tmp_path / "empty", as_json=True)[1]) == {"findings": []}


def test_packed_files(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(FAULT))
    (tmp_path / "b.xz").write_bytes(lzma.compress(FAULT))
    assert "2 findings" in run(tmp_path / "a.gz", tmp_path / "b.xz")[1]
    (tmp_path / "cut.gz").write_bytes(gzip.compress(FAULT)[:40])
    (tmp_path / "cut.xz").write_bytes(lzma.compress(FAULT)[:40])
    (tmp_path / "c.zst").write_bytes(b"\x28\xb5\x2f\xfd rest")
    for name in ("cut.gz", "cut.xz", "c.zst"):
        status, _, err = run(tmp_path / name)
        assert (status, name in err) == (2, True)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FAULT)))
    assert "1 finding," in run("-")[1]
