# SPDX-License-Identifier: GPL-2.0-or-later
"""IGT, the DRM community's own tests: each subtest in a process of its own, judged by IGT and by the kernel log.

Needs `--overlay igt`, or a directory in which /igt holds the programs as IGT's build directory has them below tests/.
What is expected of a board is in `igt/BOARD-fails.txt`, `-flakes.txt` and `-skips.txt`, in drm-ci's format; what a test
makes the kernel log on purpose, in `igt/provokes.txt`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab.run.igt import FOLDER, IgtExpectations, IgtResult, read_tests, run_test
from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("csif", "vm", "groups", "heaps"), pytest.mark.overlay("igt")]
LISTS = Path(__file__).parent / "igt"
TESTS = read_tests(LISTS / "testlist.txt")
PATIENCE = 60.0


@pytest.fixture
def expectations(session: Session) -> IgtExpectations:
    return IgtExpectations.of_board(LISTS, session.board.name)


@pytest.mark.parametrize("test", TESTS)
def test_igt(test: str, session: Session, expectations: IgtExpectations) -> None:
    run_test(session, test, expectations)


def test_what_the_list_does_not_name(session: Session, expectations: IgtExpectations) -> None:
    """Other panthor tests that this build of IGT has: all of them, and what came of each."""
    listing = session.board.shell.run(["ls", f"{FOLDER}/panthor"], timeout=PATIENCE)
    if listing.status:
        pytest.skip(f"no directory {FOLDER}/panthor, or no `ls`, on this board")
    words: dict[str, IgtResult | str] = {}
    for program in listing.stdout.decode().split():
        path = f"{FOLDER}/panthor/{program}"
        names = session.board.shell.run([path, "--list-subtests"], timeout=PATIENCE)
        if names.status:
            continue  # no test: a library, a list
        for subtest in names.stdout.decode().split():
            test = f"panthor/{program}@{subtest}"
            if test in TESTS:
                continue
            try:
                words[test] = run_test(session, test, expectations)
            except (pytest.fail.Exception, pytest.skip.Exception, pytest.xfail.Exception) as ended:
                words[test] = str(ended)
    for test, word in words.items():
        session.note(f"igt {test}: {str(word).splitlines()[0]}")
    bad = [
        f"{test}: {word}"
        for test, word in words.items()
        if not isinstance(word, IgtResult) and not word.startswith((IgtResult.SKIP, IgtResult.NOTRUN))
    ]
    assert not bad, "\n".join(bad)
