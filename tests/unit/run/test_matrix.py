# SPDX-License-Identifier: GPL-2.0-or-later
"""A matrix goes on only if it asks for the same: a column that was made under other settings is not taken for one."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from panthorlab.errors import UsageError
from panthorlab.options import parse
from panthorlab.run.matrix import LOCK, RECORD, main

NO_KERNEL = "feedfeedfeed"
Asks = Callable[..., str]


@pytest.fixture
def asks(tmp_path: Path) -> Asks:
    """What `matrix` answers, as it looks at its settings, and then for a kernel that there is not."""
    (tmp_path / "test_suite.py").write_text("def test_one(session):\n    pass\n")
    (tmp_path / "known").write_text("# Bug Report: one\nheap-exit/.*@warning\n")
    for name in ("overlay", "other"):
        (tmp_path / name / "usr").mkdir(parents=True)
        (tmp_path / name / "usr" / "program").write_text(name)
        (tmp_path / name / "link").symlink_to("usr/program")

    def ask(*options: str) -> str:
        with pytest.raises(UsageError) as refused:
            main(
                parse(
                    [
                        "matrix",
                        "--kernel",
                        NO_KERNEL,
                        "--output",
                        str(tmp_path / "matrix"),
                        "--quiet",
                        "--suite",
                        str(tmp_path / "test_suite.py"),
                        *options,
                    ]
                )
            )
        return str(refused.value)

    return ask


def with_all(folder: Path) -> tuple[str, ...]:
    return ("--overlay", str(folder / "overlay"), "--known", str(folder / "known"))


def test_the_same_goes_on(tmp_path: Path, asks: Asks) -> None:
    for _ in range(2):
        assert NO_KERNEL in asks(*with_all(tmp_path))
    assert json.loads((tmp_path / "matrix" / RECORD).read_text())["overlay"]
    (tmp_path / "overlay").rename(tmp_path / "moved")
    (tmp_path / "known").rename(tmp_path / "moved-known")
    assert NO_KERNEL in asks("--overlay", str(tmp_path / "moved"), "--known", str(tmp_path / "moved-known"))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--known", "KNOWN"), "overlay"),
        (("--overlay", "OVERLAY"), "known"),
        ((), "known, overlay"),
        (("--known", "KNOWN", "--overlay", "OTHER"), "overlay"),
        (("--known", "KNOWN", "--overlay", "OVERLAY", "--seed", "2"), "seed"),
    ],
)
def test_other_options_are_refused(tmp_path: Path, asks: Asks, options: tuple[str, ...], what: str) -> None:
    asks(*with_all(tmp_path))
    places = {"KNOWN": str(tmp_path / "known"), "OVERLAY": str(tmp_path / "overlay"), "OTHER": str(tmp_path / "other")}
    said = asks(*(places.get(word, word) for word in options))
    assert said.endswith(f"a matrix that was made with other {what}")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda folder: (folder / "overlay" / "usr" / "program").write_text("Overlay"), "overlay"),
        (lambda folder: (folder / "overlay" / "usr" / "program").chmod(0o755), "overlay"),
        (lambda folder: (folder / "overlay" / "usr" / "more").mkdir(), "overlay"),
        (lambda folder: (folder / "known").write_text("heap-exit/.*@oops\n"), "known"),
        (lambda folder: (folder / "known").write_text(""), "known"),
        (lambda folder: (folder / "test_suite.py").write_text("def test_two(session):\n    pass\n"), "text of suites"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, asks: Asks, change: Callable[[Path], object], what: str) -> None:
    asks(*with_all(tmp_path))
    change(tmp_path)
    assert asks(*with_all(tmp_path)).endswith(f"a matrix that was made with other {what}")


def test_one_that_does_not_say_is_refused(tmp_path: Path, asks: Asks) -> None:
    asks()
    record = tmp_path / "matrix" / RECORD
    settings = json.loads(record.read_text())
    del settings["overlay"]
    record.write_text(json.dumps(settings))
    assert asks().endswith("a matrix that was made with other overlay")


@pytest.mark.parametrize("text", ["{broken", "[]", ""])
def test_a_damaged_record_is_refused(tmp_path: Path, asks: Asks, text: str) -> None:
    asks()
    (tmp_path / "matrix" / RECORD).write_text(text)
    assert "is damaged" in asks()


def test_two_at_once_do_not_take_the_runs_of_each_other(tmp_path: Path, asks: Asks) -> None:
    asks()
    with (tmp_path / "matrix" / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another matrix is at work" in asks()
    assert NO_KERNEL in asks()


def test_a_dry_run_knows_which_kernels_there_are(asks: Asks) -> None:
    assert NO_KERNEL in asks("--dry-run")


def test_one_form_at_a_time(asks: Asks) -> None:
    assert asks("--json", "--markdown") == "--json and --markdown are two forms of one table"
