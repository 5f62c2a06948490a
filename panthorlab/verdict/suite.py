# SPDX-License-Identifier: GPL-2.0-or-later
"""Suite tests on both sides: a test that fails on *after* only is a regression, one that fails on both is reported.

A test may run on several boots of a side. One failure that is the kernel's makes the side fail, however often it passes
elsewhere; a test that could never be carried out is an error, never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from panthorlab.outcome import Blame, Outcome, Side
from panthorlab.verdict.model import BootResult, TestResult, TestVerdict, Verdict


def compare_tests(tests: Iterable[TestResult], boots: Mapping[str, BootResult]) -> tuple[TestVerdict, ...]:
    """One verdict per test name, in the order of names."""
    by_name: dict[str, list[TestResult]] = {}
    for test in sorted(tests, key=lambda test: (test.boot, test.message)):
        by_name.setdefault(test.name, []).append(test)
    died = frozenset(boot.side for boot in boots.values() if boot.died_of_kernel)
    return tuple(_compare(name, results, died) for name, results in sorted(by_name.items()))


def votes_of(tests: Iterable[TestVerdict]) -> list[tuple[Verdict, str]]:
    """What is heard of them in the verdict of the run. A proof that fails on *before* leaves nothing to compare with,
    however *after* is."""
    votes: list[tuple[Verdict, str]] = []
    for test in tests:
        if test.verdict in (Verdict.REGRESSED, Verdict.ERROR):
            votes.append((test.verdict, f"test {test.name}: {test.reason}"))
        if test.proof and test.before is Outcome.FAIL:
            votes.append((Verdict.ERROR, f"{test.name}: {test.message or test.reason}"))
    return votes


def _side(results: Sequence[TestResult], *, died: bool) -> tuple[Outcome, str]:
    """The outcome of one side over its boots, and what was said by the result that decided it."""
    failed = [r for r in results if r.outcome is Outcome.FAIL and r.blame is Blame.KERNEL]
    if failed:
        return Outcome.FAIL, failed[0].message
    passed = [r for r in results if r.outcome in (Outcome.PASS, Outcome.DONE)]
    if passed:
        return Outcome.PASS, ""
    if results and all(r.outcome is Outcome.SKIP for r in results):
        return Outcome.SKIP, results[0].message
    if died or any(r.blame is Blame.KERNEL for r in results):
        return Outcome.FAIL, next((r.message for r in results if r.message), "the kernel died before it could run")
    if not results:
        return Outcome.MISS, "never ran"
    spoiled = next(r for r in results if r.outcome is not Outcome.SKIP)
    return Outcome.ERROR if spoiled.outcome is Outcome.FAIL else spoiled.outcome, spoiled.message


def _compare(name: str, results: Sequence[TestResult], died: frozenset[Side]) -> TestVerdict:
    (before, said_before), (after, said_after) = (
        _side([r for r in results if r.side is side], died=side in died) for side in Side
    )
    verdict, reason = _verdict(before, after)
    message = said_after if after is not Outcome.PASS else said_before
    seconds = sum(r.seconds for r in results if r.side is Side.AFTER)
    return TestVerdict(
        name, verdict, before, after, reason, message, seconds, proof=any(result.proof for result in results),
    )


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
