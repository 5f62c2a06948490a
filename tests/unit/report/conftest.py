# SPDX-License-Identifier: GPL-2.0-or-later
"""A run like the main job's, judged by the real comparison, for every report to show."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.report.model import BoardInfo, KernelInfo, PatchInfo, Phase, RunReport
from panthorlab.verdict import BootResult, Expect, IterationResult, KernelRef, Plan, TestResult, compare

TEXT = """panthor mali-gpu.1.auto: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x0000800000003000
raw fault status: 0x7CD003C3
decoded fault status: SLAVE FAULT
exception type 0xC3: TRANSLATION_FAULT_3
access type 0x3: WRITE
source id 0x7CD0"""

FAULT = {
    "kind": "mmu-fault",
    "driver": "panthor",
    "device": "mali-gpu.1.auto",
    "timestamp": 0.677142,
    "as": 1,
    "va": "0x0000800000003000",
    "raw_status": "0x7CD003C3",
    "exception_type": 195,
    "exception": "TRANSLATION_FAULT_3",
    "access": "WRITE",
    "source_id": "0x7CD0",
    "owner": "heap-context",
    "text": TEXT,
    "signature": "mmu-fault:TRANSLATION_FAULT_3:WRITE:heap-context",
}
CLAIMS = ("exit", "sigkill", "sigsegv", "exec", "group-destroy")
WATCHES = ("groups", "heaps", "chunks", "slots", "spaces", "forks", "fd-inherited", "fd-passed", "heap-destroy")
Row = tuple[str, Role, tuple[int, int], tuple[int, int]]

FIXED: tuple[Row, ...] = (
    *((name, Role.CLAIM, (100, 100), (0, 240)) for name in CLAIMS),
    *((name, Role.WATCH, (20, 20), (0, 20)) for name in WATCHES),
    ("clients", Role.WATCH, (148, 150), (22, 150)),
    ("vm-destroy", Role.WATCH, (20, 20), (20, 20)),
    *((name, Role.CONTROL, (0, 50), (0, 50)) for name in ("no-heap", "idle", "group-first")),
)
REGRESSED: tuple[Row, ...] = (("exit", Role.CLAIM, (0, 240), (240, 240)),)

MakeReport = Callable[..., RunReport]


def _iterations(row: Row) -> list[IterationResult]:
    name, role, *sides = row
    kinds = frozenset({"mmu-fault"})
    return [
        IterationResult(
            f"{name}-{side}-{n}",
            side,
            f"{side}-{n % 2}",
            name,
            role,
            Outcome.FAIL if n < faulty else Outcome.PASS,
            Blame.KERNEL if n < faulty else None,
            faulty=int(n < faulty),
            kinds=kinds if n < faulty else frozenset(),
            declared_kinds=kinds,
        )
        for side, (faulty, total) in zip((Side.BEFORE, Side.AFTER), sides, strict=True)
        for n in range(total)
    ]


@pytest.fixture(scope="session")
def make_report() -> MakeReport:
    """`make_report(rows, expect=…, interrupted=…, tests=…, text=…, boards=…)`: `text` replaces every free text;
    `boards`: on which the two boots of each side ran. `module_build`: the sides differ in panthor.ko alone."""

    def make(
        rows: tuple[Row, ...] = FIXED,
        *,
        expect: Expect = Expect.FIX,
        interrupted: str = "",
        text: str | None = None,
        tests: tuple[TestResult, ...] = (),
        notes: tuple[str, ...] = (),
        boards: tuple[str, str] = ("qemu-g610",) * 2,
        module_build: bool = False,
    ) -> RunReport:
        iterations = [iteration for row in rows for iteration in _iterations(row)]
        boots = [BootResult(f"{side}-{n}", side, boards[n], Outcome.PASS) for side in Side for n in (0, 1)]
        kernels = {
            Side.BEFORE: KernelRef("k" * 16, "b0" * 20),
            Side.AFTER: KernelRef("l" * 16, ("b0" if module_build else "a0") * 20),
        }
        modules = {
            Side.BEFORE: {"panthor": "e" * 40, "gpu_sched": "5" * 40},
            Side.AFTER: {"panthor": "f" * 40, "gpu_sched": "5" * 40},
        }
        verdict = compare(iterations, boots, tests, Plan({}, expect, interrupted=interrupted), kernels)
        findings = [
            {**FAULT, "side": i.side, "boot": i.boot, "iteration": i.id, "workload": i.workload}
            | ({"text": text, "owner": text, "exception": text} if text is not None else {})
            for i in iterations
            if i.faulty
        ]
        return RunReport(
            Path("/home/user/runs/2026-11-23-1"),
            verdict,
            datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC),
            107.3,
            BoardInfo("qemu-g610", text or "Mali-G610, emulated", emulated=True, facts={"QEMU": text or "11.1.3"}),
            {
                side: KernelInfo(
                    ref.kernel,
                    "6.12.117",
                    ref.build_id,
                    text or f"{side} the fix",
                    ("panthor",),
                    "gcc 12",
                    modules[side] if module_build else {},
                    "arm64",
                )
                for side, ref in kernels.items()
            },
            (PatchInfo(text or "drm/panthor: Wait for terminated groups before the heaps go", "applies", "v1.patch"),),
            text or "linux-source-6.12 6.12.117-1",
            ("heap_exit",),
            (Phase("build", 41.2), Phase("boot", 4.4)),
            tuple(findings),
            tuple(boots),
            (text,) if text is not None else notes,
            ("panthorlab", "validate", text or "v1.patch"),
            "0.1.0",
            7,
        )

    return make
