# SPDX-License-Identifier: GPL-2.0-or-later
"""The one way from bytes to patches: files are split into mails, and the mails put together as series.

    read(data, "fix.patch")                 # a file
    read_all(["fix.patch", "v6.18..fix"])   # whatever the user has named

All input is untrusted: sizes are bounded, and input that is no patch is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from panthorlab.errors import PatchError
from panthorlab.kernel.patch import series
from panthorlab.kernel.patch.files import PatchFiles
from panthorlab.kernel.patch.mails import Mail, read_mails
from panthorlab.kernel.patch.series import Intake, Series
from panthorlab.kernel.patch.spec import find

# What people take for a patch: how it begins, what it is, what to do.
_MISTAKEN = (
    (b"# v2 git bundle", "a git bundle", "fetch from it into a tree, and give a git range"),
    (b"# v3 git bundle", "a git bundle", "fetch from it into a tree, and give a git range"),
    (b"\x1f\x8b", "compressed", "unpack it first: gunzip"),
    (b"\xfd7zXZ", "compressed", "unpack it first: unxz"),
    (b"BZh", "compressed", "unpack it first: bunzip2"),
    (b"\x28\xb5\x2f\xfd", "compressed", "unpack it first: unzstd"),
    (b"\xff\xfe", "UTF-16 text", "PowerShell's > makes that: use git diff --output=FILE"),
    (b"\xfe\xff", "UTF-16 text", "make the patch again as UTF-8: git diff --output=FILE"),
)
# What is in mails that have no diff, by what they say.
_WITHOUT_DIFF = (
    (
        re.compile(rb"^The following changes since commit ", re.M),
        "a pull request, which has no patches in it",
        "fetch what it names into a git tree, and give the range: --base TREE@COMMIT COMMIT..FETCH_HEAD",
    ),
    (
        re.compile(rb"^-----BEGIN PGP MESSAGE-----|^content-type:\s*multipart/encrypted", re.M | re.I),
        "encrypted",
        "decrypt it first: gpg --decrypt",
    ),
    (
        re.compile(rb"^content-type:\s*application/(?:x-)?pkcs7-mime", re.M | re.I),
        "encrypted or signed by S/MIME",
        "save the mail's text with the mailer that can read it",
    ),
    (
        re.compile(rb"^> ?(?:diff --git |--- a/)", re.M),
        "a reply that quotes a patch, not one itself",
        "give the mail that it answers",
    ),
)


class CoverLetterError(PatchError):
    """Nothing but the cover letter of a series: no patch, but no mistake either if the series is there, too."""


def read(data: bytes, origin: str, version: int | None = None) -> Series:
    """The series in a file: one diff, one mail, or an mbox of several. `version`: of it, instead of the newest.

    Raises PatchError if there is no patch in it, or no whole series.
    """
    [found] = _intake([PatchFiles(((origin, data),))], version).series
    return found


def read_all(
    specs: Sequence[str], repository: Path | None = None, version: int | None = None, stdin: BinaryIO | None = None
) -> Intake:
    """All patches that `specs` name (see `spec.find`), in order; parts and versions of a series are put together.

    `repository`: where a git range is looked up (else the current directory). Raises PatchError if one names no patch,
    or there is no whole series; LabError if b4 is needed and missing or the list cannot be reached.
    """
    return _intake((find(spec, repository, version, stdin) for spec in specs), version)


def _intake(named: Iterable[PatchFiles | Series], version: int | None) -> Intake:
    collections: list[Sequence[Mail] | Series] = []
    notes: list[str] = []
    cover = None  # the last file that had nothing else in it
    for each in named:
        if isinstance(each, Series):
            collections.append(each)
            continue
        notes += each.notes
        mails: list[Mail] = []
        for name, data in each.content:
            found = _mails(data, name)
            cover = cover if any(mail.patch for mail in found) else name
            mails += found
        patches = tuple(mail.patch for mail in mails if mail.patch is not None)
        collections.append(Series(patches, patches[0].title) if each.chosen and patches else mails)
    chosen = tuple(_series(group, version) for group in series.groups(collections) if _has_patches(group))
    if cover is not None and not chosen:
        raise CoverLetterError(f"{cover} is only a cover letter: there is no diff in it", hint="give its patches")
    return Intake(chosen, tuple(notes))


def _has_patches(group: Sequence[Mail] | Series) -> bool:
    return isinstance(group, Series) or any(mail.patch for mail in group)


def _series(group: Sequence[Mail] | Series, version: int | None) -> Series:
    if isinstance(group, Series):
        return group
    origins = dict.fromkeys(mail.patch.origin for mail in group if mail.patch)
    return series.choose(group, ", ".join(origins), version)


def _mails(data: bytes, origin: str) -> list[Mail]:
    """The mails in a file, of which one has a patch or is a cover letter. Raises PatchError for what is no patch."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise PatchError(f"{origin} is empty", hint="give a patch: the output of git format-patch or diff -u")
    for begin, what, hint in _MISTAKEN:
        if data.startswith(begin):
            raise PatchError(f"{origin} is {what}, not a patch", hint=hint)
    if b"\0" in data:
        raise PatchError(
            f"{origin} is not a patch: there are NUL bytes in it, as in binary files and damaged mails",
            hint="give the output of git format-patch or diff -u",
        )
    mails = read_mails(data, origin)
    if not any(mail.patch or mail.subject.number == 0 for mail in mails):
        raise _no_diff(data, origin)
    return mails


def _no_diff(data: bytes, origin: str) -> PatchError:
    """The error for mails without a diff, with a guess at what they are instead."""
    for pattern, what, hint in _WITHOUT_DIFF:
        if pattern.search(data):
            return PatchError(f"{origin} is {what}", hint=hint)
    hint = "expected lines like `--- a/file` and `@@`"
    if b"text/html" in data.lower():
        hint = "the mail is HTML: have it sent as plain text, or as an attachment"
    return PatchError(f"{origin} is not a patch: there is no diff in it", hint=hint)
