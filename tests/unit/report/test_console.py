# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary: fits a screen whatever it is given, says what matters, and lets no text drive the terminal."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.report import console
from panthorlab.report.model import RunReport
from panthorlab.report.text import fit, interval, p_value, pad, plain, seconds, width, wrap
from panthorlab.verdict import Expect, KernelRef, SideResult, TestResult
from panthorlab.verdict.stats import wilson

MakeReport = Callable[..., RunReport]
ANSI = re.compile(r"\x1b\[[0-9;]*m")
CLAIM = ("exit", Role.CLAIM, (100, 100), (0, 240))


def _lines(text: str) -> list[str]:
    return text.rstrip("\n").split("\n")


def _columns(line: str) -> int:
    """Independent of the code under test: every wide character takes two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def test_the_main_job_fits_a_screen_and_says_everything(make_report: MakeReport) -> None:
    text = console.render(make_report())
    assert len(_lines(text)) <= 40
    assert max(map(_columns, _lines(text))) <= 80
    for needed in (
        "Wait for terminated groups",
        "linux-source-6.12 6.12.117-1",
        "build-id b0b0b0b0",
        "build-id a0a0a0a0",
        "qemu-g610",
        "2+2 boots",
        "100/100 96–100%",
        "0/240 0–1.6%",
        "↓4e-88 fixed",
        "FIXED  (exit status 0)",
        "500/500 before, 0/1200 after",
        "VA 0x0000800000003000",
        "belongs to heap-context",
        "/home/user/runs/2026-11-23-1",
    ):
        assert needed in text


def test_the_residual_stands_right_under_the_verdict(make_report: MakeReport) -> None:
    lines = _lines(console.render(make_report()))
    verdict = next(i for i, line in enumerate(lines) if line.startswith("FIXED"))
    residual = next(i for i, line in enumerate(lines) if line.startswith("Residual"))
    assert all(line.startswith("  ") for line in lines[verdict + 1 : residual])
    assert "22/150 9.8–22%" in lines[residual + 1]
    assert "reduced" in lines[residual + 1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 5000,
        "word " * 2000,
        "補丁" * 3000,
        "e\u0301" * 500,
        "\x1b[2J\x1b]0;title\x07\x1b[31mred",
        "a\r\nb\tc\x00\x08",
        "\u202eevil\u2066",
        "\ud800",
        "\U0001f600" * 200,
    ],
)
def test_any_text_fits_and_is_harmless(make_report: MakeReport, text: str) -> None:
    many = tuple((f"{text[:40]}{n}", Role.CLAIM, (1, 5), (n, 5)) for n in range(5)) + tuple(
        (f"w{n}", Role.WATCH, (1, 5), (1, 5)) for n in range(30)
    )
    shown = console.render(make_report(many, text=text, interrupted=text or "Ctrl-C"))
    assert len(_lines(shown)) <= 40
    assert max(map(_columns, _lines(shown))) <= 80
    assert not set(shown) & set("\x1b\x00\x07\x08\r\u202e\u2066\ud800")


def test_many_claims_show_the_worst(make_report: MakeReport) -> None:
    many = ((f"claim-{n:02}", Role.CLAIM, (100, 100), (0, 240)) for n in range(60))
    rows = (*many, ("bad", Role.CLAIM, (0, 90), (90, 90)))
    text = console.render(make_report(rows))
    assert len(_lines(text)) <= 40
    assert re.search(r"^bad .*regressed$", text, re.MULTILINE)
    assert re.search(r"^\d+ more: fixed claim-", text, re.MULTILINE)


def test_tests_that_fail_on_both_sides_are_named(make_report: MakeReport) -> None:
    tests = tuple(TestResult("suites/a.py::t", side, Outcome.FAIL, Blame.KERNEL, "no") for side in Side)
    assert "Tests that fail on both sides: suites/a.py::t" in console.render(make_report((CLAIM,), tests=tests))


def test_colour_only_adds_codes(make_report: MakeReport) -> None:
    report = make_report()
    coloured = console.render(report, colour=True)
    assert "\x1b[32mFIXED\x1b[0m" in coloured
    assert ANSI.sub("", coloured) == console.render(report)


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert console.use_colour(Terminal())
    assert not console.use_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not console.use_colour(Terminal())
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "dumb")
    assert not console.use_colour(Terminal())


def test_an_empty_run_is_shown_too(make_report: MakeReport) -> None:
    text = console.render(make_report((), expect=Expect.NO_CHANGE))
    assert "INCONCLUSIVE  (exit status 3)" in text
    assert "no claim or control workload was judged" in text


@given(text=st.text(), columns=st.integers(2, 100))
def test_fit_pad_and_wrap_keep_their_width(text: str, columns: int) -> None:
    text = plain(text)
    assert width(fit(text, columns)) <= columns
    assert width(pad(text, columns)) == columns
    assert all(width(line) <= columns + 2 for line in wrap(text, columns, first="- ", rest="  "))
    if columns > 4:
        assert all(width(line) <= columns for line in wrap(text, columns, first="- ", rest="  "))


def test_wrap_loses_no_word() -> None:
    text = "a rate above 1.90% would have shown with 99 % confidence"
    assert " ".join(line.strip() for line in wrap(text, 20, rest="  ")) == text


@given(total=st.integers(1, 5000), share=st.floats(0, 1))
def test_intervals_are_rounded_outwards(total: int, share: float) -> None:
    faulty = round(total * share)
    side = SideResult(Side.AFTER, KernelRef("k"), total, faulty, wilson(faulty, total))
    low, high = (float(bound) / 100 for bound in interval(side).rstrip("%").split("–"))
    assert low <= side.interval[0] + 1e-9
    assert high >= side.interval[1] - 1e-9
    assert high - low <= side.interval[1] - side.interval[0] + 0.02


def test_short_numbers() -> None:
    assert [p_value(p) for p in (None, 0.0, 4.2e-88, 0.00099, 0.123, 1.0)] == [
        "-",
        "<1e-300",
        "4e-88",
        "1e-03",
        "0.123",
        "1.000",
    ]
    assert [seconds(s) for s in (0.61, 42.4, 187)] == ["0.6 s", "42 s", "3 min 07 s"]


def test_plain_text_has_no_remains_of_escape_sequences() -> None:
    assert plain("\x1b[1;31mred\x1b[0m \x1b]0;title\x07and\r\n plain\u202e") == "red and plain"


@pytest.mark.parametrize("columns", [40, 60, 73, 74, 80, 120])
def test_a_narrow_or_wide_terminal_garbles_nothing(make_report: MakeReport, columns: int) -> None:
    shown = console.render(make_report(), columns=columns)
    rows = [line for line in shown.splitlines() if not line.startswith("/home")]
    assert all(width(line) <= columns for line in rows), [line for line in rows if width(line) > columns]
    row = next(line for line in rows if line.startswith(("sigkill", "heap-exit/sigkill")))
    assert row.split()[-1] == "fixed"
    assert "100/100" in row
    assert "0/240" in row


def test_the_default_job_is_headed_by_what_it_claims(make_report: MakeReport) -> None:
    from dataclasses import replace

    from panthorlab.report import html, kcidb

    report = replace(make_report(), claim="drm/panthor: Evict groups before VM termination")
    assert console.render(report).startswith("claim   drm/panthor: Evict groups before VM termination")
    assert "<title>fixed: drm/panthor: Evict groups" in html.render(report)
    assert kcidb.to_json(report)["checkouts"][0]["comment"].startswith("drm/panthor: Evict groups")
