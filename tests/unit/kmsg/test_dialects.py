# SPDX-License-Identifier: GPL-2.0-or-later
"""Every labelled log in every dress: the findings, their fields and how many there are stay the same."""

from __future__ import annotations

import html
import json
import re
import textwrap
import time
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panthorlab.kmsg import Finding, RecordReader, scan, scan_bytes
from panthorlab.kmsg.dialects import AFTER_STAMP, CLOCKS, KERNEL, PROGRAMS, Dialect
from panthorlab.kmsg.records import USER_FACILITY, parse_line
from tests.unit.kmsg.corpus import FIXTURES

STAMP_IN = re.compile(r"\[ *\d+\.\d{6}")
Line = tuple[float, str]


def messages(log: bytes) -> list[Line]:
    """What the kernel said, line by line, with a time each; none of the dress of the log itself."""
    reader = RecordReader()
    records = reader.feed(log) + reader.close()
    texts = [text for record in records if not record.facility for text in record.text.split("\n")]
    once = [text.rstrip() for text, before in zip(texts, ["", *texts], strict=False) if text.strip() and text != before]
    return [(345.2 + at / 1000, text) for at, text in enumerate(once)]


def plain(lines: Iterable[Line]) -> str:
    return "".join(f"[{time:12.6f}] {text}\n" for time, text in lines)


def facts(finding: Finding) -> tuple[object, ...]:
    return (
        finding.signature, finding.driver, finding.device, finding.address_space, finding.va, finding.raw_status,
        finding.exception, finding.access, finding.source_id, finding.pid, finding.comm, finding.frames,
        finding.corrupted,
    )  # fmt: skip


CORPUS = {
    fixture.name: lines
    for fixture in FIXTURES
    if fixture.findings and scan_bytes(plain(lines := messages(fixture.log)).encode())
}  # fmt: skip


def stamped(example: str) -> Callable[[list[Line]], str]:
    """A vendor's stamp, with the time of each line."""
    return lambda lines: "".join(STAMP_IN.sub(f"[{time:12.6f}", example, count=1) + f"{text}\n" for time, text in lines)


def prefixed(prefix: str) -> Callable[[list[Line]], str]:
    return lambda lines: "".join(f"{prefix}{text}\n" for _, text in lines)


def entries(form: Callable[[float, str], str]) -> Callable[[list[Line]], str]:
    return lambda lines: "".join(form(time, text) for time, text in lines)


def export(time: float, text: str) -> str:
    return (
        f"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1\n_TRANSPORT=kernel\nPRIORITY=4\nMESSAGE={text}\n"
        f"_SOURCE_MONOTONIC_TIMESTAMP={round(time * 1e6)}\n_HOSTNAME=rock5\n\n"
    )


def verbose(time: float, text: str) -> str:
    return (
        "Fri 2024-03-01 12:00:00.123456 CET [s=1;i=2;b=3;m=4;t=5;x=6]\n    _TRANSPORT=kernel\n"
        f"    _SOURCE_MONOTONIC_TIMESTAMP={round(time * 1e6)}\n    MESSAGE={text}\n    PRIORITY=4\n"
    )


def journal_json(time: float, text: str, indent: int | None = None) -> str:
    entry = {"_TRANSPORT": "kernel", "MESSAGE": text, "_SOURCE_MONOTONIC_TIMESTAMP": str(round(time * 1e6))}
    return json.dumps(entry, indent=indent) + "\n"


def dmesg_json(lines: list[Line]) -> str:
    rows = [
        f'{{\n         "pri": 4,\n         "time": {time:12.6f},\n         "msg": {json.dumps(text)}\n      }}'
        for time, text in lines
    ]
    return '{\n   "dmesg": [\n      ' + ",".join(rows) + "\n   ]\n}\n"


def fluent_bit(time: float, text: str) -> str:
    micros = round(time * 1e6)
    said = json.dumps(text)
    fields = f'"priority"=>3, "sequence"=>1, "sec"=>{micros // 10**6}, "usec"=>{micros % 10**6}, "msg"=>{said}'
    return f"[0] kmsg.0: [1463421823.5, {{{fields}}}]\n"


def hard(width: int) -> Callable[[list[Line]], str]:
    def broken(lines: list[Line]) -> str:
        cut = [line[at : at + width] for line in plain(lines).splitlines() for at in range(0, len(line), width)]
        return "\n".join(cut) + "\n"

    return broken


def mail(width: int, mark: str = "", flow: str = "", dress: str = "") -> Callable[[list[Line]], str]:
    def wrapped(lines: list[Line]) -> str:
        out = []
        for line in plain(lines).splitlines():
            pieces = textwrap.wrap(
                dress + line, width, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
            )
            out += [f"{mark}{piece}{flow}" for piece in pieces[:-1]] + [mark + pieces[-1]]
        return "\n".join(out) + "\n"

    return wrapped


def twice(*prefixes: str) -> Callable[[list[Line]], str]:
    return lambda lines: "".join(f"{prefix.format(time=time)}{text}\n" for time, text in lines for prefix in prefixes)


def among_others(dress: Callable[[list[Line]], str]) -> Callable[[list[Line]], str]:
    """One doubled line could be two events; the lines around it tell."""
    return lambda lines: dress([(1.0, "usb 1-1: new device"), (1.1, "random: crng init done"), *lines])


def per_line(before: str, after: str = "", form: Callable[[str], str] = str) -> Callable[[list[Line]], str]:
    return lambda lines: "".join(f"{before}{form(line)}{after}\n" for line in plain(lines).splitlines())


STAMP = "[{time:12.6f}] "
JOURNAL = "May 04 22:10:01 rock5 kernel: "
TIMED: dict[str, Callable[[list[Line]], str]] = {
    "export": entries(export), "verbose": entries(verbose), "json": entries(journal_json),
    "json-pretty": entries(lambda time, text: journal_json(time, text, 8)),
    "json-seq": entries(lambda time, text: "\x1e" + journal_json(time, text)),
    "json-sse": entries(lambda time, text: f"data: {journal_json(time, text)}\n"),
    "dmesg -J": dmesg_json, "fluent-bit": entries(fluent_bit),
    "Amlogic": lambda lines: plain(lines).replace("] ", "@0] ", 1).replace("\n[", "\n<4>["),
    "Motorola": lambda lines: "".join(f"[{time:12.6f},3] {text}\n" for time, text in lines),
    "HiSilicon": lambda lines: "".join(f"[{time:12.6f}s][pid:1,cpu0,swapper/0]{text}\n" for time, text in lines),
    "LG": lambda lines: "".join(f"[{time:12.6f} / 06-18 10:00:00.123][2] {text}\n" for time, text in lines),
    "pstore": lambda lines: "Oops#1 Part1\n" + "".join(f"<4>[{time:12.6f}] {text}\n" for time, text in lines),
    "hard wrap 80": hard(80), "hard wrap 100": hard(100),
    **{f"mail {width}": mail(width) for width in range(72, 79)},
    "mail, quoted": mail(74, "> "), "mail, quoted twice": mail(72, "> > "), "flowed": mail(72, flow=" "),
    "mail of a journal": mail(76, dress=JOURNAL),
    "doubled": twice(STAMP, STAMP), "two sinks": twice(STAMP, JOURNAL),
    "two sinks, two stamps": twice(STAMP, JOURNAL + STAMP),
    "HTML": lambda lines: html.escape(plain(lines)),
    "web page": per_line('<span class="x">', "</span><br>", html.escape),
    "fence": lambda lines: f"```text\n{plain(lines)}```\n",
    "terminal": lambda lines: plain(lines).replace("\n", "\x0f\x1b[0m\r\n\x07\x1b[1m"),
    "one line": lambda lines: plain(lines).replace("\n", " "),
    "syslog 5424": per_line("<3>1 2024-03-01T12:00:00Z rock5 kernel - - - "),
}  # fmt: skip
UNTIMED: dict[str, Callable[[list[Line]], str]] = {
    **{f"kernel: {row.name}": prefixed(row.example) for row in KERNEL if row.name != "a torn stamp"},
    **{
        f"doubled: {row.name}": among_others(twice(row.example, row.example))
        for row in KERNEL
        if row.name.startswith(("jour", "Tal"))
    },
    "two sinks without stamps": twice(JOURNAL, "[Sun Nov  2 23:55:01 2026] "),
}
WANTED = {name: scan_bytes(plain(lines).encode()) for name, lines in CORPUS.items()}


def check(dress: Callable[[list[Line]], str], *, timed: bool) -> None:
    for name, lines in CORPUS.items():
        dressed, wanted = dress(lines).encode(), WANTED[name]
        found = scan_bytes(dressed)
        assert [facts(finding) for finding in found] == [facts(finding) for finding in wanted], name
        if timed:
            times = [finding.timestamp for finding in wanted]
            assert [finding.timestamp for finding in found] == pytest.approx(times), name
        assert list(scan([dressed], prefilter=False)) == list(scan([dressed])), name


@pytest.mark.parametrize("dress", TIMED)
def test_findings_are_those_of_the_plain_log(dress: str) -> None:
    check(TIMED[dress], timed=True)


@pytest.mark.parametrize("dress", UNTIMED)
def test_findings_without_kernel_time_are_those_of_the_plain_log(dress: str) -> None:
    check(UNTIMED[dress], timed=False)


@pytest.mark.parametrize("row", AFTER_STAMP, ids=lambda row: row.name)
def test_findings_with_a_vendors_stamp_are_those_of_the_plain_log(row: Dialect) -> None:
    check(stamped(row.example), timed=True)


@pytest.mark.parametrize("dress", ["export", "json-pretty", "hard wrap 80", "mail 74", "doubled: Talos", "two sinks"])
@given(name=st.sampled_from(sorted(CORPUS)), size=st.integers(1, 400))
@settings(max_examples=25, deadline=None)
def test_chunks_change_nothing(dress: str, name: str, size: int) -> None:
    log = (TIMED | UNTIMED)[dress](CORPUS[name]).encode()
    assert list(scan(log[at : at + size] for at in range(0, len(log), size))) == list(scan([log]))


FAULT = (
    "panthor fb000000.gpu: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x0000800000003000\n"
    "raw fault status: 0x7CD003C3\ndecoded fault status: SLAVE FAULT\nexception type 0xC3: TRANSLATION_FAULT_3\n"
    "access type 0x3: WRITE\nsource id 0x7CD0"
)
RECORD = {"_TRANSPORT": "kernel", "MESSAGE": FAULT, "_SOURCE_MONOTONIC_TIMESTAMP": "345222624"}
WHOLE_RECORDS = {
    "export": b"__CURSOR=s=1\n_TRANSPORT=kernel\nMESSAGE\n" + len(FAULT).to_bytes(8, "little") + FAULT.encode()
    + b"\n_SOURCE_MONOTONIC_TIMESTAMP=345222624\n\n",
    "verbose": (
        "Fri 2024-03-01 12:00:00.123456 CET [s=1;i=2]\n    _TRANSPORT=kernel\n    MESSAGE="
        + FAULT.replace("\n", "\n            ") + "\n    _SOURCE_MONOTONIC_TIMESTAMP=345222624\n"
    ).encode(),
    "json": json.dumps(RECORD).encode(), "json-pretty": json.dumps(RECORD, indent=8).encode(),
    "both sinks, record by record":
    b"".join(b"[  345.222624] " + line + b"\n" for line in FAULT.encode().split(b"\n")) * 2,
}  # fmt: skip


@pytest.mark.parametrize("log", WHOLE_RECORDS.values(), ids=WHOLE_RECORDS)
def test_a_record_of_several_lines_in_one_entry(log: bytes) -> None:
    (finding,) = scan_bytes(log)
    assert (finding.va, finding.source_id, finding.timestamp) == ("0x0000800000003000", "0x7CD0", 345.222624)
    assert scan_bytes(log.replace(b"kernel", b"syslog")) == [] or b"TRANSPORT" not in log


def test_equal_events_without_a_kernel_time_are_not_taken_for_copies() -> None:
    line = b"May 04 22:10:06 rock5 kernel: panthor x: [drm] job timeout\n"
    assert len(scan_bytes(line * 4)) == 4
    assert len(scan_bytes(b"[    1.000000] panthor x: [drm] job timeout\n" * 4)) == 1


@pytest.mark.parametrize(
    "log",
    [
        b"__CURSOR=x\nMESSAGE=a\n" * 20000, b"quiet\n" * 50000, b"{\n" * 50000, b'data: {"\n' * 30000, b"&lt;" * 50000,
        b"[  1.000000] " + b"x" * 67 + b"\n" + (b"w" * 80 + b"\n") * 5000, b"[   1.000000] panthor " * 10000,
    ],
    ids=["entries without end", "one line again and again", "objects", "events", "entities", "no end", "one line"],
)  # fmt: skip
def test_time_is_linear_whatever_comes(log: bytes) -> None:
    """Quadratic, each of them took minutes."""
    start = time.process_time()
    scan_bytes(log)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("row", [*AFTER_STAMP, *KERNEL, *CLOCKS], ids=lambda row: row.name)
def test_an_example_is_all_prefix(row: Dialect) -> None:
    (record,) = parse_line(f"{row.example}panthor x: [drm] y".encode(), 1)
    assert record.text == "panthor x: [drm] y"
    assert not record.facility


@pytest.mark.parametrize("row", PROGRAMS, ids=lambda row: row.name)
def test_what_a_program_says_is_not_the_kernels(row: Dialect) -> None:
    (record,) = parse_line(f"{row.example}panthor x: [drm] *ERROR* job timeout".encode(), 1)
    assert record.facility == USER_FACILITY
