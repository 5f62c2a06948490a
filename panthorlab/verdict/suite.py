# SPDX-License-Identifier: GPL-2.0-or-later
"""Suite tests on both sides: what fails on *after* and not on *before* is a regression, if boots agree about it.

One failure is no proof: on a busy machine any of hundreds of tests may fail once. A test blames the patch if it fails
in every boot of *after* and passes in every boot of *before*, two of each at least. If it fails more often on *after*
without that, it alone runs in `MORE_BOOTS` more boots of both sides; then it is in the way of a good verdict unless
so much is likely by chance (`CHANCE`), and told in any case. What kills a kernel or leaves a report of KASAN is judged
as a finding, and needs none of this. A test that could never be carried out is an error, never a pass.

Where *before* died of its kernel before it could run a test, it fails, and there is nothing to compare with: neither
that *after* skips it nor that it fails there tells anything of the patch (`beyond_before`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from panthorlab.outcome import Blame, Outcome, Side
from panthorlab.verdict.model import BootResult, TestResult, TestVerdict, Verdict
from panthorlab.verdict.stats import fisher

BLAMING_BOOTS: Final = 2
"""Boots of each side that must have run a test before it can blame the patch."""

MORE_BOOTS: Final = 2
"""Boots that each side gets for a test that is in doubt."""

SETTLED_BOOTS: Final = 3
"""With so many boots of both sides the numbers of a test are final."""

CHANCE: Final = 0.3
"""p below which a test that fails more often on *after* is in the way of a good verdict."""


def compare_tests(tests: Iterable[TestResult], boots: Mapping[str, BootResult]) -> tuple[TestVerdict, ...]:
    """One verdict per test name, in the order of names."""
    by_name: dict[str, list[TestResult]] = {}
    for test in _once_a_boot(sorted(tests, key=lambda test: (test.boot, test.message))):
        by_name.setdefault(test.name, []).append(test)
    died = frozenset(boot.side for boot in boots.values() if boot.died_of_kernel)
    return tuple(_compare(name, results, died) for name, results in sorted(by_name.items()))


def _once_a_boot(tests: Sequence[TestResult]) -> list[TestResult]:
    """A test that has passed and then left something behind has two results, and has failed: of these, its first
    failure."""
    failures: dict[tuple[str, Side, str], TestResult] = {}
    for test in tests:
        if _failed(test):
            failures.setdefault((test.name, test.side, test.boot), test)
    return [test for test in tests if failures.get((test.name, test.side, test.boot), test) is test]


def _failed(test: TestResult) -> bool:
    return test.outcome is Outcome.FAIL and test.blame is Blame.KERNEL


def votes_of(tests: Iterable[TestVerdict]) -> list[tuple[Verdict, str]]:
    """What is heard of them in the verdict of the run. A proof that fails on *before* leaves nothing to compare with,
    however *after* is."""
    votes: list[tuple[Verdict, str]] = []
    for test in tests:
        if test.verdict in (Verdict.REGRESSED, Verdict.ERROR):
            votes.append((test.verdict, f"test {test.name}: {test.reason}"))
        elif test.verdict is Verdict.INCONCLUSIVE:
            heard = test.proof or not _settled(test) or _p_more(test.failed_before, test.failed_after) < CHANCE
            votes.append((Verdict.INCONCLUSIVE if heard else Verdict.CLEAN, f"test {test.name}: {test.reason}"))
        if test.proof and test.before is Outcome.FAIL:
            votes.append((Verdict.ERROR, f"{test.name}: {test.message or test.reason}"))
    return votes


def beyond_before(tests: Iterable[TestVerdict]) -> tuple[str, ...]:
    """The names of tests that *after* has run, and *before* not, for its kernel had died."""
    return tuple(
        test.name
        for test in tests
        if test.before is Outcome.FAIL and not test.failed_before[1] and test.failed_after[1] and not test.proof
    )


def in_doubt(tests: Iterable[TestVerdict]) -> tuple[str, ...]:
    """The names of those that more boots may decide. A proof is no test that could be run by itself."""
    return tuple(
        test.name for test in tests if test.verdict is Verdict.INCONCLUSIVE and not test.proof and not _settled(test)
    )


def _settled(test: TestVerdict) -> bool:
    return min(test.failed_before[1], test.failed_after[1]) >= SETTLED_BOOTS


def _p_more(before: tuple[int, int], after: tuple[int, int]) -> float:
    return fisher(*before, *after)[1]


def _side(results: Sequence[TestResult], *, died: bool) -> tuple[Outcome, str, tuple[int, int]]:
    """The outcome of one side over its boots, what was said by the result that decided it, and (boots in which it
    failed, boots in which it failed or passed)."""
    failed = [r for r in results if _failed(r)]
    passed = [r for r in results if r.outcome in (Outcome.PASS, Outcome.DONE)]
    counts = len(failed), len(failed) + len(passed)
    if failed:
        return Outcome.FAIL, failed[0].message, counts
    if passed:
        return Outcome.PASS, "", counts
    if results and all(r.outcome is Outcome.SKIP for r in results):
        return Outcome.SKIP, results[0].message, counts
    if died or any(r.blame is Blame.KERNEL for r in results):
        message = next((r.message for r in results if r.message), "the kernel died before it could run")
        return Outcome.FAIL, message, counts
    if not results:
        return Outcome.MISS, "never ran", counts
    spoiled = next(r for r in results if r.outcome is not Outcome.SKIP)
    return Outcome.ERROR if spoiled.outcome is Outcome.FAIL else spoiled.outcome, spoiled.message, counts


def _compare(name: str, results: Sequence[TestResult], died: frozenset[Side]) -> TestVerdict:
    (before, message_before, count_before), (after, message_after, count_after) = (
        _side([r for r in results if r.side is side], died=side in died) for side in Side
    )
    never_ran = before is Outcome.FAIL and not count_before[1]
    if after is Outcome.FAIL and before in (Outcome.PASS, Outcome.FAIL) and count_before[1] and count_after[1]:
        verdict, reason = _failing(count_before, count_after)
    elif never_ran and after is Outcome.SKIP:
        verdict, reason = Verdict.UNCHANGED, "skipped on after; before died before it could run"
    elif never_ran and after is Outcome.FAIL:
        verdict, reason = Verdict.NOT_FIXED, "fails on after; before died before it could run"
    else:
        verdict, reason = _verdict(before, after)
    message = message_after if after is not Outcome.PASS else message_before
    seconds = sum(r.seconds for r in results if r.side is Side.AFTER)
    return TestVerdict(
        name,
        verdict,
        before,
        after,
        reason,
        message,
        seconds,
        proof=any(result.proof for result in results),
        failed_before=count_before,
        failed_after=count_after,
    )


def _failing(before: tuple[int, int], after: tuple[int, int]) -> tuple[Verdict, str]:
    """Of a test that fails on *after*, and ran in boots of both sides."""
    if not before[0] and after[0] == after[1] and min(before[1], after[1]) >= BLAMING_BOOTS:
        return Verdict.REGRESSED, f"fails on after, passes on before (in all {after[1]} and {before[1]} boots)"
    if after[0] * before[1] <= before[0] * after[1]:
        return Verdict.NOT_FIXED, "fails on both sides, so not because of the patch"
    numbers = f"fails in {after[0]} of {after[1]} boots of after and in {before[0]} of {before[1]} of before"
    return Verdict.INCONCLUSIVE, f"{numbers}, too few to blame the patch (p {_p_more(before, after):.2g})"


def _verdict(before: Outcome, after: Outcome) -> tuple[Verdict, str]:
    if after is Outcome.PASS:
        if before is Outcome.FAIL:
            return Verdict.FIXED, "fails on before, passes on after"
        return Verdict.CLEAN, "passes on both" if before is Outcome.PASS else f"passes on after, {before} on before"
    if after is Outcome.SKIP and before in (Outcome.SKIP, Outcome.MISS):
        return Verdict.UNCHANGED, "skipped"
    if after is not Outcome.FAIL:
        return Verdict.ERROR, f"could not be carried out on after ({after}; before: {before})"
    if before is Outcome.FAIL:
        return Verdict.NOT_FIXED, "fails on both sides, so not because of the patch"
    if before is Outcome.PASS:
        return Verdict.REGRESSED, "fails on after, passes on before"
    return Verdict.ERROR, f"fails on after, but could not be carried out on before ({before})"
