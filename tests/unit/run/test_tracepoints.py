# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's own events in a trace: what was written is read, and nothing that was not is."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.api import RemoteFileError
from panthorlab.errors import EvidenceError
from panthorlab.mmio.ftrace import TraceEvent
from panthorlab.run.session import Session
from panthorlab.run.tracepoints import JOB_IRQ, POWER, ROOT, Tracepoints, parse_event

TRACE = """# tracer: nop
#
 irq/27-panthor-71      [001] .....    12.345678: gpu_power_status: mali-gpu.1.auto: shader_bitmap=0x0 tiler_bitmap=0x0 l2_bitmap=0x1
          <idle>-0       [000] d.h1.    12.345700: gpu_job_irq: mali-gpu.1.auto: events=0x80000000 duration_ns=18000
"""  # noqa: E501 - as it comes
names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)


def event(text: str, name: str = POWER) -> TraceEvent:
    return TraceEvent(1, 0, "init", 1, name, text)


@given(st.from_regex(r"[a-z0-9.:-]{1,30}", fullmatch=True), st.dictionaries(names, st.integers(0, 1 << 64), min_size=1))
def test_what_was_written_is_read(device: str, fields: dict[str, int]) -> None:
    for form in ("0x{:x}", "{}"):
        words = " ".join(f"{name}={form.format(value)}" for name, value in fields.items())
        found = parse_event(event(f"{device}: {words}"))
        assert (found.device, found.fields) == (device, fields)


@given(st.text(max_size=80))
def test_anything_else_is_refused_or_read_whole(text: str) -> None:
    try:
        found = parse_event(event(text))
    except EvidenceError:
        return
    assert text.startswith(f"{found.device}: ")
    assert text.count("=") >= len(found.fields) > 0


class Shell:
    """A board's tracefs."""

    def __init__(self, trace: str = TRACE) -> None:
        self.files = {f"{ROOT}/trace": trace, f"{ROOT}/trace_clock": "local [mono] x86-tsc\n"}
        self.files |= {f"{ROOT}/events/panthor/{n}/enable": "0" for n in (POWER, JOB_IRQ)}
        self.wrote: list[tuple[str, bytes]] = []

    def get(self, path: str) -> bytes:
        if path not in self.files:
            raise RemoteFileError(path, errno=errno.ENOENT)
        return self.files[path].encode()

    def put(self, data: bytes, path: str) -> None:
        self.wrote.append((path.removeprefix(f"{ROOT}/"), data))


def session(shell: Shell, *, config: bool = True, driver: bool = True) -> Session:
    fake: Any = SimpleNamespace(
        board=SimpleNamespace(shell=shell), has_config=lambda *_: config, driver_contains=lambda _: driver
    )
    return cast("Session", fake)


def test_events_are_on_only_within() -> None:
    shell = Shell()
    traced = Tracepoints(session(shell))
    with traced.on(POWER, JOB_IRQ):
        assert [e.fields["l2_bitmap"] for e in traced.seen(POWER)] == [1]
        assert [e.fields["events"] for e in traced.seen(JOB_IRQ)] == [1 << 31]
    switches = [f"events/panthor/{name}/enable" for name in (POWER, JOB_IRQ)]
    assert shell.wrote == [("trace_clock", b"mono"), *((s, b"1") for s in switches), *((s, b"0") for s in switches)]


def test_lost_events_are_no_evidence() -> None:
    with pytest.raises(EvidenceError, match="lost"):
        Tracepoints(session(Shell(TRACE + "CPU:1 [LOST 7 EVENTS]\n"))).seen(POWER)


@pytest.mark.parametrize(("config", "driver"), [(False, True), (True, False)])
def test_skips_where_there_are_none(config: bool, driver: bool) -> None:
    shell = Shell()
    del shell.files[f"{ROOT}/events/panthor/{POWER}/enable"]
    with pytest.raises(pytest.skip.Exception):
        Tracepoints(session(shell, config=config, driver=driver))


def test_tracefs_that_is_not_there_is_the_labs() -> None:
    shell = Shell()
    shell.files.clear()
    with pytest.raises(RemoteFileError):
        Tracepoints(session(shell))
