# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user can type wrong: each has a sentence, a hint, exit status 2, and JSON if asked for; nothing is left."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from panthorlab import cli
from panthorlab import options as command_line
from panthorlab.errors import LabError
from panthorlab.run import boards


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the test runner keeps its own handlers


WRONG = [
    (("validat",), "no command `validat`", "`validate`"),
    ((), "COMMAND", "--help"),
    (("validate", "--iteration", "5"), "no option `--iteration`", "`--iterations`"),
    (("validate", "--boot=1"), "no option `--boot`", "`--boots`"),
    (("validate", "--iterations", "0"), "at least 1", "--help"),
    (("validate", "--iterations", "many"), "'many' is no whole number", "--help"),
    (("validate", "--time-limit", "5x"), "90s, 20m, 2h", "--help"),
    *[
        (command, "", "--help")
        for option, values in {
            "--time-limit": (
                "inf",
                "-inf",
                "nan",
                "infinity",
                "1e400",
                "1e9",
                "9" * 400,
                "0",
                "0s",
                "-5",
                "-5m",
                "1e3m",
                "",
                "s",
                "\uff11\uff10",
                "1_0",
                "0x10",
                "5 ",
                " 5",
                "99999999h",
            ),
            "--wait": ("inf", "nan", "0", "-1", "9" * 400),
            "--iterations": ("-1", "1.5", "1e3", "inf", "nan", "", "9" * 5000, "\uff11", "1_000", "0x10", "9" * 11),
            "--boots": ("-1", "0", "nan", "1e3", "9" * 5000, "1000000"),
            "--jobs": ("-1", "0", "nan", "1e3", "9" * 5000, "1000000"),
            "--seed": ("nan", "1.5", "", "9" * 5000, "9" * 20, "-" + "9" * 20),
        }.items()
        for value in values
        for command in (("validate", f"{option}={value}"), ("run", "--kernel", "abc", f"{option}={value}"))
    ],
    (("validate", "--expect", "wrong"), "no-change", "--help"),
    (("validate", "--driver", "tyre"), "invalid choice: 'tyre'", "--help"),
    (("build", "--driver", "tyr", "--base", "debian:6.12.73"), "has no tyr driver (it came with 6.18)", "6.18 or"),
    (("validate", "--board", "qemu-g61"), "no board `qemu-g61`", "`qemu-g610`"),
    (("validate", "--suite", "heap-exit-clam"), "no suite `heap-exit-clam`", "`heap-exit-claim`"),
    (("validate", "--param", "gpu.writout.on=none"), "no parameter `gpu.writout.on`", "`gpu.writeout.on`"),
    (("validate", "--param", "gpu.writeout.on=maybe"), "terminate", "panthorlab gpu params"),
    (("validate", "--param", "writeout.on=none"), "gpu.NAME=VALUE", "panthorlab gpu params"),
    (("validate", ""), "a PATCH is empty", "leave it out"),
    (("build", "--base", ""), "--base is empty", "leave it out"),
    (("validate", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n" * 50), "the text of one", "standard input"),
    (("validate", "--before", "abc"), "go together", "both"),
    (("validate", "--before", "a", "--after", "b", "--revert"), "--revert", "leave out"),
    (("validate", "--before", "a", "--after", "b", "fix.patch"), "PATCH", "leave out"),
    (("run", "--kernel", "abc", "--param", "gpu.x=1"), "no parameter", "panthorlab gpu params"),
    (("validate", "--boot-method", "kexec"), "emulated", "leave it out"),
    (("validate", "--boot-method", "magic"), "module-swap", "--help"),
    (("validate", "--board", "qemu-g610", "--board", "qemu-g610"), "given twice", "--jobs"),
    (("validate", "--board", "qemu-g610", "--tag", "emulated"), "two ways", "one of them"),
    (("validate", "--tag", "nonesuch"), "`nonesuch`", "boards --json"),
    (("run",), "--kernel", "--help"),
    (("resume", "nowhere"), "no run here", "runs/"),
    (("report", "nowhere"), "no run here", "runs/"),
    (("boards", "extra"), "`boards extra`", "`train`"),
    (("boards", "zzz"), "`boards zzz`", "--help"),
    (("boards", "train", "qemu-g610", "--boot", "3"), "no option `--boot`", "`--boots`"),
    (("boards", "quarantine", "rock-5b"), "--reason", "boards quarantine --help"),
    (("boards", "release", "qemu-g610"), "an emulated one", "real boards"),
    (("boards", "release", "qemu-g61"), "no board `qemu-g61`", "`qemu-g610`"),
]


@pytest.mark.parametrize(("arguments", "error", "hint"), WRONG, ids=lambda value: " ".join(value)[:40])
def test_wrong_input(arguments: tuple[str, ...], error: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["verdict"], said["exit"]) == (None, 2)
    assert error in said["error"]
    assert hint in said["hint"]
    assert said["error"] in err
    assert not list(Path().iterdir()), "nothing was written"
    assert cli.main(arguments) == 2
    assert capsys.readouterr().out == ""


def test_patches_may_stand_between_options() -> None:
    parsed = command_line.parse(["validate", "a.patch", "--swap", "b.patch", "--boots", "3", "-"])
    assert parsed.patch == ["a.patch", "b.patch", "-"]
    assert parsed.swap
    assert parsed.boots == 3


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        (("build", "--driver", "tyr", "--config", "panthor-module"), ["panthor-module", "tyr"]),
        (("validate", "--driver", "panthor", "--config", "kasan"), ["kasan"]),
        (("validate", "--driver", "tyr", "--before", "a", "--after", "b"), []),
        (("matrix", "--driver", "tyr", "debian:7.3.4"), ["tyr"]),
        (("check", "x.patch", "--driver=tyr"), ["tyr"]),
    ],
)
def test_the_driver_is_a_fragment_with_the_last_word(arguments: tuple[str, ...], config: list[str]) -> None:
    assert command_line.parse(arguments).config == config
    assert command_line.parse(["build"]).config == [], "and stays with the command line that names it"


def test_refused_run_leaves_its_directory_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the second time it is not in the way either
        assert cli.main(["validate", "--before", "abc", "--after", "def", "--output", "run"]) == 2
        assert "no kernel 'abc'" in capsys.readouterr().err
        assert not Path("run").exists()
    Path("mine").mkdir()
    Path("mine/notes").write_text("keep")
    assert cli.main(["validate", "--before", "abc", "--after", "def", "--output", "mine"]) == 2
    assert [path.name for path in Path("mine").iterdir()] == ["notes"]


def test_output_that_cannot_be_a_directory(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert cli.main(["validate", "--output", "file"]) == 2
    assert "file: File exists" in capsys.readouterr().err
    assert cli.main(["validate", "--output", "file/run"]) == 2
    assert cli.main(["build", "--output", "file"]) == 2
    assert "file: File exists" in capsys.readouterr().err


def test_cache_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", "file")
    assert cli.main(["run", "--kernel", "abc", "--output", "run", "--json"]) == 4
    assert "XDG_CACHE_HOME" in json.loads(capsys.readouterr().out)["hint"]


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (LabError("no board answers", hint="plug it in"), 4, "plug it in"),
        (OSError(errno.ENOSPC, "No space left on device"), 4, "No space left"),
        (ZeroDivisionError("oops"), 4, "a bug of panthorlab"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_no_error_is_ever_taken_for_the_kernels_fault(
    error: BaseException, status: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_options: object) -> int:
        raise error

    monkeypatch.setattr(boards, "main", fail)
    assert cli.main(["boards", "--json"]) == status
    out, err = capsys.readouterr()
    assert json.loads(out)["exit"] == status
    assert json.loads(out)["verdict"] == ("error" if status == 4 else None)
    assert text in err
    assert ("Traceback" in err) == isinstance(error, ZeroDivisionError)


def test_a_cache_that_is_named_relatively_is_the_same_for_processes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers run in their boot's directory, and found no kernel."""
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert cli.main(["suites"]) == 0
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "work" / "here")


def test_a_cache_of_somebody_else_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "cache/panthorlab/sources/x.json"))

    monkeypatch.setattr("panthorlab.run.tools.suites", denied)
    assert cli.main(["suites"]) == 4
    assert "set XDG_CACHE_HOME" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["file", "loop"])
def test_a_cache_that_is_no_directory_is_no_bug_of_panthorlab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    place = tmp_path / "no-cache"
    if kind == "file":
        place.touch()
    else:
        place.symlink_to(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    assert cli.main(["build", "--base", "debian:6.12.117", "--dry-run"]) == 3
    said = capsys.readouterr()
    assert "not in the cache yet" in said.out + said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "command", [("run", "--kernel", "x" * 5000), ("run", "--kernel", "x" * 300), ("matrix", "abc", "x" * 5000)]
)
def test_a_name_that_no_file_can_have_is_the_users_error(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command]) == 2
    assert len(capsys.readouterr().err) < 500


def test_a_suite_that_ends_the_process_is_named_in_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Path("test_out.py").write_text("raise SystemExit(0)\n")
    assert cli.main(["run", "--kernel", "abc", "--suite", "./test_out.py"]) == 2
    said = capsys.readouterr().err
    assert "test_out.py" in said
    assert "SystemExit: 0" in said
    assert len(said.splitlines()) < 8


def test_a_suite_without_a_name_does_not_mean_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    """As `--suite "$SUITE"` says where nobody has set that."""
    assert cli.main(["run", "--kernel", "abc", "--suite", ""]) == 2
    assert "a suite without a name" in capsys.readouterr().err
