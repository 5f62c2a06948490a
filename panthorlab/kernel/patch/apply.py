# SPDX-License-Identifier: GPL-2.0-or-later
"""Several patches on a tree, each on top of the ones before, or none of them."""

from __future__ import annotations

from collections.abc import Sequence

from panthorlab.kernel.driver import ReadFile
from panthorlab.kernel.patch.fit import check
from panthorlab.kernel.patch.mails import PatchText
from panthorlab.kernel.patch.report import Fit, PatchReport, UnfitError
from panthorlab.kernel.source.base import Changes

_SOME = {
    False: "leave out the patches that the base, or another patch, has already",
    True: "leave out the patches that the base does not have",
}
_HINTS = {
    (Fit.ALREADY, False): "the base has it: use --revert to compare without and with it, or another --base",
    (Fit.OTHER_FORM, False): "the base has this change in another form: use an older --base, or give the patch as it "
    "was merged, with --revert",
    (Fit.DOES_NOT_APPLY, False): "use the base it was made for (--base), or rebase the patch; nothing was changed",
    (Fit.ALREADY, True): "the base does not have the patch, so it cannot be reverted: leave out --revert",
    (Fit.OTHER_FORM, True): "the base has this change in another form: give the patch as it was merged",
    (Fit.DOES_NOT_APPLY, True): "only a patch that is in the base can be reverted; give it as it was merged",
}


def apply_all(
    texts: Sequence[PatchText], read: ReadFile, title: str, notes: Sequence[str] = (), *, reverse: bool = False
) -> tuple[list[PatchReport], Changes]:
    """What becomes of each patch, and of the files of the tree that `read` reads; `reverse`: the last patch first.

    `title` of the tree, and `notes` on the series, are for people. Raises UnfitError unless all patches apply.
    """
    changes: dict[str, bytes | None] = {}
    reports: list[PatchReport] = []

    def patched(path: str) -> bytes | None:
        return changes[path] if path in changes else read(path)

    for text in reversed(texts) if reverse else texts:
        report = check(text, patched, title, reverse=reverse)
        reports.append(report)
        if report.fit in (Fit.DOES_NOT_APPLY, Fit.OTHER_FORM):
            break  # the base of the next ones is unknown
        changes |= report.changes
    bad = [report for report in reports if report.fit not in (Fit.APPLIES, Fit.APPLIES_INEXACTLY)]
    if bad:
        lines = [report.summary for report in reports]
        if len(reports) < len(texts):
            lines.append(f"the other {len(texts) - len(reports)} of {len(texts)} patches were not tried")
        some = bad[-1].fit is Fit.ALREADY and len(bad) < len(reports)
        raise UnfitError(
            "\n".join([*lines, *(f"note: {note}" for note in notes)]),
            reports=reports,
            notes=notes,
            hint=_SOME[reverse] if some else _HINTS[bad[-1].fit, reverse],
        )
    return reports, changes
