# SPDX-License-Identifier: GPL-2.0-or-later
"""A git range as patches. Git separates a commit's message from its diff, so no mail has to be parsed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from panthorlab.errors import LabError, PatchError, SourceError
from panthorlab.kernel.patch.files import MAX_BYTES
from panthorlab.kernel.patch.mails import PatchText
from panthorlab.kernel.patch.series import Series
from panthorlab.kernel.patch.subject import printable
from panthorlab.kernel.source.git import is_repository, reading, resolve_range

# Not format-patch: there a diff in a commit message cannot be told from the commit's. No option is left to the
# user's configuration. A...B is what diff means by it: what B has that A has not.
_LOG = (
    "log",
    "--reverse",
    "--topo-order",
    "--right-only",
    "--format=%x00%x01%P%x00 %s%x00 %an <%ae>%x00 %b%x00 ",
    "--patch",
    "--diff-merges=off",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-show-signature",
    "--no-notes",
    "--find-renames",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--unified=3",
    "--inter-hunk-context=0",
    "--submodule=short",
    "--no-relative",
    "-O/dev/null",
)


def read_range(spec: str, repository: Path) -> Series:
    """The commits of `spec`, each a patch. Raises PatchError if git knows no such range, or it has no patches."""
    if not is_repository(repository):
        raise PatchError(
            f"no such patch: {spec}", hint=f"{repository} is no git repository, so it is no git range either"
        )
    try:
        with reading(repository) as view:
            data = view.git(*_LOG, resolve_range(repository, spec), "--")
    except (LabError, SourceError) as error:
        raise PatchError(f"git knows no range {spec} in {repository}", hint=str(error).splitlines()[-1]) from error
    if not data.strip():
        raise PatchError(f"the git range {spec} has no commits", hint="older..newer; the left side is left out")
    if len(data) > MAX_BYTES:
        raise PatchError(
            f"the git range {spec} is larger than {MAX_BYTES >> 20} MiB", hint="build both ends: --base PATH@REV"
        )
    patches = tuple(_patches(data, spec))
    if not patches:
        raise PatchError(f"the commits of the git range {spec} change no file")
    return Series(patches, patches[0].title)


def _patches(log: bytes, spec: str) -> Iterator[PatchText]:
    for commit in log.split(b"\0\x01")[1:]:
        parents, subject, author, message, diff = commit.split(b"\0 ", 4)  # no message can have a NUL in it
        title = printable(subject.decode(errors="replace")) or spec
        if len(parents.split()) > 1:
            raise PatchError(
                f"the git range {spec} has a merge in it, which is no patch: {title}",
                hint=f"give the whole difference instead: git diff {spec} | panthorlab … -",
            )
        if diff.strip():  # else an empty commit
            yield PatchText(
                title,
                spec,
                diff.lstrip(b"\n").decode("latin-1"),
                message=message.decode(errors="replace").strip("\n"),
                author=printable(author.decode(errors="replace")),
            )
