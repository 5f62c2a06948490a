# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit statuses with standard streams in every state: 1 means the kernel, whatever happens to the output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.streams import ESCAPES, escape

FAULT = (
    "panthor fb000000.gpu: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x0000800000003000\n"
    "raw fault status: 0x7CD003C3\n"
)
NOTHING = "scan nowhere.txt"
# command -> its status if all is well
COMMANDS = {
    "scan log.txt": 0, "scan log.txt --fail-on mmu-fault": 1, NOTHING: 2, "boards": 0, "--help": 0, "gpu params": 0,
    "run --kernel nonesuch": 2, "report run": 130,
}  # fmt: skip
QUIET = frozenset({NOTHING, "run --kernel nonesuch"})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    (folder / "log.txt").write_text(FAULT)
    (folder / "run").mkdir()
    start = {
        "time": 1.0,
        "event": "run-start",
        "suites": ["été"],
        "command": ["panthorlab"],
        "directory": "/",
        "options": {"expect": "fix", "board": "b", "boots": 2, "seed": 1},
    }
    source = {"time": 2.0, "event": "source", "base": "é…", "patches": [{"title": "é", "state": "", "source": "–😀"}]}
    (folder / "run" / "events.jsonl").write_text(json.dumps(start) + "\n" + json.dumps(source) + "\n")
    return folder


def _shell(place: Path, command: str, rest: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        ["bash", "-c", f'"$0" -m panthorlab {command} {rest}', sys.executable],
        cwd=place,
        capture_output=True,
        check=False,
        timeout=120,
        env={**kept, "PYTHONPATH": root, "XDG_CACHE_HOME": str(place / "cache"), **environ},
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_exit_status_whatever_the_streams_are(place: Path, command: str) -> None:
    status = COMMANDS[command]
    lost = status if command in QUIET else 4
    for rest, wanted in {
        "2>/dev/full": status, "<&- 2>&-": status, ">/dev/full": lost, ">&-": lost, ">&- 2>&-": lost,
    }.items():  # fmt: skip
        done = _shell(place, command, rest)
        assert done.returncode == wanted, (rest, done)
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr
        if wanted != status and "2>" not in rest:
            assert b"standard output could not be written" in done.stderr


@pytest.mark.parametrize(
    "environ",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}],
    ids=["ioencoding", "locale"],
)
def test_what_cannot_be_encoded_is_escaped(place: Path, environ: dict[str, str]) -> None:
    shown = _shell(place, "report run", "", **environ)
    assert shown.returncode == 130, shown
    assert b"\\u00e9" in shown.stdout
    data = _shell(place, "report run --json", "", **environ)
    assert data.returncode == 130
    assert json.loads(data.stdout)["patches"][0]["source"] == "–😀"
    assert "é…" in (place / "run" / "report.html").read_text("utf-8")
    assert _shell(place, "validate --board é", "", **environ).returncode == 2


def test_a_reader_that_has_seen_enough(place: Path) -> None:
    (place / "many.txt").write_text("".join(FAULT.replace("3000", f"{n:04x}") for n in range(20000)))
    for command, wanted in (
        ("scan many.txt --json", "0"),
        ("scan many.txt --json --fail-on mmu-fault", "4"),
        ("boards schema", "0"),
        ("gpu params", "0"),
        ("report run --json", "4|0|130"),
    ):
        done = _shell(place, command, "| (exec <&-); echo ${PIPESTATUS[0]}")
        assert done.stdout.decode().strip() in wanted.split("|"), (command, done)
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr


def test_an_import_that_fails_is_not_the_kernels_fault(place: Path) -> None:
    broken = place / "broken"
    broken.mkdir()
    (broken / "argparse.py").write_text("raise ImportError('half an installation')")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "panthorlab", "boards"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{broken}:{root}"},
        cwd=place,
    )
    assert done.returncode == 4, done
    assert b"half an installation" in done.stderr


@given(st.text(st.characters(), max_size=20), st.sampled_from(["ascii", "latin-1", "utf-8"]))
def test_escaped_json_says_the_same(text: str, encoding: str) -> None:
    import codecs

    codecs.register_error(ESCAPES, escape)
    data = json.dumps([text], ensure_ascii=False).encode(encoding, ESCAPES)
    assert json.loads(data.decode(encoding)) == [text]
