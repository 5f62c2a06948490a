# SPDX-License-Identifier: GPL-2.0-or-later
"""One log in every form that programs give a kernel log: the findings, and their signatures, stay the same."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from panthorlab.kmsg import Finding, scan, scan_bytes

RECORDS = (
    (
        "mali fb000000.gpu: Unhandled Page fault in AS1 at VA 0x00007FE0DA65CB80",
        "Reason: Memory is not mapped on the GPU", "raw fault status: 0x210002C1",
        "exception type 0xC1: TRANSLATION_FAULT at level 1", "access type 0x2: READ", "source id 0x2100", "pid: 1693",
    ),
    (
        "panthor fb000000.gpu: [drm] CSG slot 2 CS slot: 1", "CS_FAULT.EXCEPTION_TYPE: 0x58 (DATA_INVALID_FAULT)",
        "CS_FAULT.EXCEPTION_DATA: 0x0", "CS_FAULT_INFO.EXCEPTION_DATA: 0x7fffe000",
    ),
    ("panthor fb000000.gpu: [drm] job timeout: pid=12, comm=glmark2, seqno=7",),
    ("INFO: task kworker/0:1:99773 blocked for more than 362 seconds.",), ("      Tainted: G         C O   6.18.35",),
    ("Call trace:",), (" __switch_to+0xf8/0x1b8 (T)",), (" dma_fence_default_wait+0x1dc/0x230",),
    (" panthor_queue_timedout+0x10/0x20 [panthor]",), (" process_one_work+0x154/0x3b0",),
    ("usb 1-1: new high-speed USB device number 2",),
)  # fmt: skip
LINES = tuple(line for record in RECORDS for line in record)
SIGNATURES = [
    "mmu-fault:kbase:TRANSLATION_FAULT_1:READ:shader", "cs-fault:panthor:DATA_INVALID_FAULT", "job-timeout:panthor",
    "hung-task:panthor:task:dma_fence_default_wait>panthor_queue_timedout",
]  # fmt: skip

STAMP = "[  345.222624] "
PREFIXES = {
    "dmesg": STAMP,
    "dmesg -d": "[  345.222624 <    0.000132>] ",
    "dmesg -dT": "[Fri Mar  1 12:00:00 2024 <    0.000132>] ",
    "dmesg -T, 12 hours": "[Fri Mar  1 12:00:00 PM 2024] ",
    "dmesg -x, err": f"kern  :err   : {STAMP}",
    "dmesg -x, warn": f"kern  :warn  : {STAMP}",
    "caller": "[  345.222624][  T123] ",
    "a torn time": "[  345.] ",
    "journal short-monotonic": f"{STAMP}host kernel: ",
    "journal short-unix": "1709290800.123456 host kernel: ",
    "journal with-unit": "Fri 2024-03-01 12:00:00 CET host kernel[0]: ",
    "syslog without host": f"May 17 18:48:11 kernel: {STAMP}",
    "busybox": f"Jan  1 00:00:12 buildroot kern.err kernel: {STAMP}",
    "rfc5424": f"<3>1 2024-03-01T12:00:00.123456+01:00 host kernel - - - {STAMP}",
    "logcat": "03-01 12:00:00.123     0     0 E kernel  : ",
    "logcat without tag": "03-01 12:00:00.123  root     0     0 E         : ",
    "logcat brief": f"E/kernel  (    0): {STAMP}",
    "an Exynos phone": f"<3>{STAMP}[3:  kworker/u16:1: 1234] ",
    "a MediaTek phone": f"<3>{STAMP} (3)[1234:RenderThread]",
    "netconsole": "6.12.0,3,1234,345222624,-;",
    "KernelCI": f"12:00:00.123456  <3>{STAMP}",
    "GitLab CI": f"2024-03-01T12:00:00.123456Z 01O {STAMP}",
    "GitLab CI, continued line": f"2024-03-01T12:00:00.123456Z 01O+{STAMP}",
    "Mesa CI": f"24-03-01 12:00:00 R SERIAL> {STAMP}",
    "GitHub actions": f"2024-03-01T12:00:00.1234567Z {STAMP}",
    "tio": f"[12:00:00.123] {STAMP}",
    "ts": "Mar 01 12:00:00 ",
    "grabserial": f"[12.345678 0.000123] {STAMP}",
    "SecureCRT": f"0410_03-08-12.384{STAMP}",
    "docker compose": f"board-1  | {STAMP}",
    "grep -n": f"dmesg.txt:1234:{STAMP}",
    "cat -n": f"  1234\t{STAMP}",
    "a bullet": f"- {STAMP}",
    "a quote with a name": f"Boris> {STAMP}",
}


def lava(line: str) -> str:
    return "- " + json.dumps({"dt": "2024-03-01T12:00:00.123456", "lvl": "target", "msg": STAMP + line})


def docker(line: str) -> str:
    return json.dumps({"log": f"{STAMP}{line}\n", "stream": "stdout"}).replace("<", "\\u003c")


def per_line(form: Callable[[str], str]) -> bytes:
    return "".join(form(line) + "\n" for line in LINES).encode()


def journal_json() -> bytes:
    entries = ({"PRIORITY": "3", "MESSAGE": "\n".join(record), "_TRANSPORT": "kernel"} for record in RECORDS)
    return "".join(json.dumps(entry) + "\n" for entry in entries).encode()


PLAIN = per_line(STAMP.__add__)
LOGS = {name: per_line(prefix.__add__) for name, prefix in PREFIXES.items()} | {
    "LAVA": per_line(lava),
    "LAVA, YAML escapes": per_line(lava).replace(b"trace:", rb"trace:\_").replace(b"number", rb"n\xba \e[0m"),
    "docker json-file": per_line(docker),
    "journal json": journal_json(),
    "no-break spaces": PLAIN.replace(b" ", b"\xc2\xa0"),
    "UTF-16 with CRLF": b"\xff\xfe" + PLAIN.replace(b"\n", b"\r\n").decode().encode("utf-16-le"),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + PLAIN,
}


def facts(finding: Finding) -> tuple[object, ...]:
    return (
        finding.signature, finding.device, finding.address_space, finding.va, finding.raw_status, finding.exception,
        finding.access, finding.source_id, finding.pid, finding.comm, finding.frames, finding.corrupted,
    )  # fmt: skip


@pytest.mark.parametrize("log", LOGS.values(), ids=LOGS)
def test_findings_are_the_same_in_every_form(log: bytes) -> None:
    found = scan_bytes(log)
    assert [finding.signature for finding in found] == SIGNATURES
    assert [facts(finding) for finding in found] == [facts(finding) for finding in scan_bytes(PLAIN)]


@pytest.mark.parametrize("log", LOGS.values(), ids=LOGS)
def test_prefilter_and_chunks_change_nothing(log: bytes) -> None:
    whole = list(scan([log]))
    assert list(scan([log], prefilter=False)) == whole
    for size in (1, 61):
        assert list(scan(log[at : at + size] for at in range(0, len(log), size))) == whole


@pytest.mark.parametrize(
    "line",
    [
        "- {", '- {"msg": 1}', '{"msg": ["BUG: KASAN: x in y"]}', '{"log": "\\u0042UG: KASAN: x in y"}',
        '{"BUG": ' + "[" * 60000, '{"msg": "BUG: KASAN: x in y", "lvl": ["target"]}',
    ],
    ids=["torn", "number", "list", "escaped", "deep", "level"],
)  # fmt: skip
def test_what_only_looks_like_a_log_of_logs_is_no_finding(line: str) -> None:
    assert scan_bytes(line.encode()) == list(scan([line.encode()], prefilter=False)) == []
