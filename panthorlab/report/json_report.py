# SPDX-License-Identifier: GPL-2.0-or-later
"""`validate --json`: the stable machine-readable form of a run. Keys are only ever added."""

from __future__ import annotations

from typing import Any

from panthorlab.outcome import Side
from panthorlab.report.coverage import driver_text, patch_text
from panthorlab.report.faults import FIELDS, FindingFields
from panthorlab.report.model import RunReport
from panthorlab.report.text import json_text
from panthorlab.verdict.finding import NewFinding, Surprise
from panthorlab.verdict.model import TestVerdict, WorkloadVerdict
from panthorlab.verdict.side import SideResult


def to_json(report: RunReport) -> dict[str, Any]:
    """The report as plain dictionaries, lists, strings and numbers."""
    verdict = report.verdict
    return {
        "verdict": verdict.verdict.value,
        "exit": verdict.exit,
        "expect": verdict.expect.value,
        "reasons": list(verdict.reasons),
        "sides": {
            result.side.value: {
                **_side(report, result),
                "boots": verdict.boots.get(result.side, 0),
                "release": report.kernels[result.side].release if result.side in report.kernels else "",
                "description": report.kernels[result.side].description if result.side in report.kernels else "",
                "toolchain": report.kernels[result.side].toolchain if result.side in report.kernels else "",
            }
            for result in (verdict.before, verdict.after)
        },
        "p_fewer": verdict.p_fewer,
        "p_more": verdict.p_more,
        "missable_rate": verdict.missable_rate,
        "workloads": [_workload(report, workload) for workload in verdict.workloads],
        "residual": [_workload(report, workload) for workload in verdict.residual],
        "tests": [_test(test) for test in verdict.tests],
        "new": [_new(finding) for finding in verdict.new_findings],
        "surprises": [_surprise(found) for found in verdict.surprises],
        "variants": _variants(report),
        "not_run": [{"test": test, "why": why} for test, why in report.left_out.items()],
        "findings": [finding_dict(finding) for finding in report.findings],
        "coverage": _coverage(report),
        "run": str(report.run_dir),
        **_about(report),
    }


def render(report: RunReport) -> str:
    """`to_json()` as text."""
    return json_text(to_json(report))


def finding_dict(finding: FindingFields) -> dict[str, Any]:
    """All keys of the contract, null where absent, then whatever else is known."""
    return {**dict.fromkeys(FIELDS), **finding}


def _side(report: RunReport, side: SideResult) -> dict[str, Any]:
    kernel = report.kernels.get(side.side)
    return {
        "kernel": side.kernel.kernel,
        "build_id": side.kernel.build_id or (kernel.build_id if kernel else None),
        "modules": dict(kernel.modules) if kernel else {},
        "boots": sum(1 for boot in side.boots if boot.iterations),
        "iterations": side.iterations,
        "faulty": side.faulty,
        "interval": list(side.interval),
        "rounds": side.rounds,
        "faulty_rounds": side.faulty_rounds,
        "planned": side.planned,
        "errors": side.errors,
        "lost": side.lost,
        "skipped": side.skipped,
        "cut": side.cut,
        "per_boot": [
            {
                "boot": boot.boot,
                "board": boot.board,
                "iterations": boot.iterations,
                "faulty": boot.faulty,
                "errors": boot.errors,
            }
            for boot in side.boots
        ],
        "per_board": [
            {"board": board.board, "iterations": board.iterations, "faulty": board.faulty, "errors": board.errors}
            for board in side.boards
        ],
        "disagreement": side.disagreement,
    }


def _workload(report: RunReport, workload: WorkloadVerdict) -> dict[str, Any]:
    return {
        "name": workload.name,
        "role": workload.role.value,
        "verdict": workload.verdict.value,
        "sides": {
            side.value: _side(report, result)
            for side, result in ((Side.BEFORE, workload.before), (Side.AFTER, workload.after))
        },
        "p_fewer": workload.p_fewer,
        "p_more": workload.p_more,
        "missable_rate": workload.missable_rate,
        "reasons": list(workload.reasons),
        "variant": workload.variant,
    }


def _test(test: TestVerdict) -> dict[str, Any]:
    return {
        "name": test.name,
        "verdict": test.verdict.value,
        "before": test.before.value,
        "after": test.after.value,
        "reason": test.reason,
        "message": test.message,
        "variant": test.variant,
    }


def _surprise(found: Surprise) -> dict[str, Any]:
    return {
        "where": found.where,
        "what": found.what,
        "before": list(found.before),
        "after": list(found.after),
        "fewer": found.fewer,
        "p": found.p,
        "reason": found.reason,
    }


def _variants(report: RunReport) -> list[dict[str, Any]]:
    judged = {variant.name: variant for variant in report.verdict.variants}
    return [
        {
            "name": info.name,
            "fragments": list(info.fragments),
            "params": dict(info.params),
            "verdict": judged[info.name].verdict.value if info.name in judged else None,
            "reasons": list(judged[info.name].reasons) if info.name in judged else [],
            "sides": {
                side.value: {
                    "kernel": info.kernels[side].key if side in info.kernels else None,
                    "build_id": info.kernels[side].build_id if side in info.kernels else None,
                    "boots": judged[info.name].boots.get(side, 0) if info.name in judged else 0,
                }
                for side in Side
            },
        }
        for info in report.variants
    ]


def _new(finding: NewFinding) -> dict[str, Any]:
    return {
        "what": finding.what,
        "name": finding.name,
        "where": finding.where,
        "before": list(finding.before),
        "after": list(finding.after),
        "regressed": finding.regressed,
        "reason": finding.reason,
        "obstacle": finding.obstacle,
        "p": finding.p,
    }


def _coverage(report: RunReport) -> dict[str, Any] | None:
    if report.coverage is None:
        return None
    return {
        side.value: {
            "functions": one.functions,
            "function_total": one.function_total,
            "lines": one.lines,
            "line_total": one.line_total,
            "text": driver_text(one),
            "suites": {
                name: {"functions": functions, "lines": lines} for name, (functions, lines) in one.suites.items()
            },
            "patch": None
            if one.patch is None
            else {
                "lines": one.patch.lines,
                "ran": one.patch.ran,
                "never": list(one.patch.never),
                "outside": list(one.patch.outside),
                "text": patch_text(side, one.patch),
            },
        }
        for side, one in report.coverage.items()
    }


def _about(report: RunReport) -> dict[str, Any]:
    """What was run, when and on what."""
    return {
        "patches": [{"title": p.title, "state": p.state, "source": p.source} for p in report.patches],
        "base": report.base,
        "base_commit": report.base_commit or None,
        "board": {
            "name": report.board.name,
            "description": report.board.description,
            "emulated": report.board.emulated,
            "facts": dict(report.board.facts),
        },
        "suites": list(report.suites),
        "phases": [{"name": phase.name, "seconds": phase.seconds} for phase in report.phases],
        "started": report.started.isoformat(),
        "seconds": report.seconds,
        "seed": report.seed,
        "notes": list(report.notes),
        "command": list(report.command),
        "version": report.version,
    }
