# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of known findings as drm-ci writes them, and every way to write them wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.errors import UsageError
from panthorlab.run.known import known_of, only_known, parse_known, read_known
from panthorlab.run.record import Iteration, KnownEntry, Settings

from .recorded import typed

FLAKES = """\
# Board Name: rk3588-rock-5b
# Bug Report: https://gitlab.freedesktop.org/x/-/issues/1
# Failure Rate: 40
# Linux Version: 6.12.117
heap-exit/.*@warning:panthor:.*
heap-exit/exec@gpu-reset

# only here
boot@probe-error,Fail
"""


def test_entries_with_what_is_said_above_them(tmp_path: Path) -> None:
    file = tmp_path / "panthor-rk3588-flakes.txt"
    file.write_text(FLAKES)
    first, second, third = read_known([file])
    assert first == KnownEntry(
        "heap-exit/.*@warning:panthor:.*",
        f"{file}:5",
        "Board Name: rk3588-rock-5b; Bug Report: https://gitlab.freedesktop.org/x/-/issues/1; "
        "Failure Rate: 40; Linux Version: 6.12.117",
    )
    assert second.about == first.about
    assert (third.pattern, third.about, third.source) == ("boot@probe-error", "only here", f"{file}:9")
    known = known_of(Settings(known=(first, second, third)))
    assert known[0].matches("heap-exit/exit", "warning:panthor:drm_sched_x")
    assert not known[0].matches("heap-exit/exit", "warning:pancsf:x")
    assert not known[1].matches("heap-exit/exec2", "gpu-reset")
    assert known_of(Settings()) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("heap-exit/exec", "names no finding"),
        ("@warning", "names no finding"),
        ("heap-exit/exec@", "names no finding"),
        ("heap-exit/exec@,Fail", "names no finding"),
        ("heap-exit/(exec@warning", "is no regular expression"),
        ("heap-exit/exec@warning[", "is no regular expression"),
        ("x" * 1001 + "@warning", "longer than 1000"),
        ("heap-exit/exec@a{99999999999999}", "is no regular expression"),
    ],
)
def test_bad_lines_are_named_with_their_place(line: str, why: str) -> None:
    with pytest.raises(UsageError, match=rf"^fails.txt:3: .*{why}"):
        list(parse_known(["# a comment", "", line], "fails.txt"))


def test_files_that_are_no_lists(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_known([tmp_path / "none.txt"])
    with pytest.raises(UsageError, match="Is a directory"):
        read_known([tmp_path])
    skips = tmp_path / "panthor-skips.txt"
    skips.write_text("kms_.*\n")
    with pytest.raises(UsageError, match="a list of tests to skip"):
        read_known([skips])
    (tmp_path / "binary.txt").write_bytes(b"a@b\n\xff\xfe\n")
    with pytest.raises(UsageError, match=r"binary.txt:2: not UTF-8"):
        read_known([tmp_path / "binary.txt"])
    (tmp_path / "big.txt").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(UsageError, match="more than 1 MiB"):
        read_known([tmp_path / "big.txt"])


@given(st.lists(st.text(max_size=40), max_size=8))
def test_any_text_is_a_list_or_is_refused_with_a_place(lines: list[str]) -> None:
    entries: list[KnownEntry] = []
    refused = ""
    try:
        entries += parse_known(lines, "f")
    except UsageError as error:
        refused = str(error)
    known_of(Settings(known=tuple(entries)))
    wanted = sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)
    assert refused.startswith("f:") or (not refused and len(entries) == wanted)


def test_an_iteration_with_nothing_but_known_findings_has_not_failed() -> None:
    (iteration,) = typed([{"event": "iteration", "workload": "w", "kinds": ["warning"], "signatures": ["warning:x"]}])
    assert isinstance(iteration, Iteration)
    known = known_of(Settings(known=tuple(parse_known(["w@warning:x"], "f"))))
    assert only_known(iteration, known)
    assert not only_known(iteration, [])
    assert not only_known(replace(iteration, program_failed=True), known)
    assert not only_known(replace(iteration, signatures=("warning:x", "warning:y")), known)
    assert not only_known(replace(iteration, kinds=("mmu-fault", "warning")), known)
    everything = known_of(Settings(known=tuple(parse_known([".*@.*"], "f"))))
    assert not only_known(replace(iteration, kinds=("mmu-fault",), signatures=("mmu-fault:x",)), everything)
