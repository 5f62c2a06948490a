# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading patches from wherever the user has them: file, mbox, directory, stdin, git range, mailing list.

Everything that comes in is untrusted: sizes are bounded, and what is no patch is said to be none.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from panthorlab.errors import LabError, PatchError, SourceError
from panthorlab.kernel.patch import series
from panthorlab.kernel.patch.mails import PATCH_SUFFIXES, Mail, PatchText, read_mails
from panthorlab.kernel.patch.series import Intake, Series
from panthorlab.kernel.patch.subject import printable
from panthorlab.kernel.source.git import git, is_repository, reading, resolve_range
from panthorlab.kernel.tools import run

MAX_BYTES = 16 << 20
MAX_NAME = 1000
_SUFFIXES = (*PATCH_SUFFIXES, ".mbox", ".eml", ".mbx")
_LORE = re.compile(
    r"^https?://(?:lore\.kernel\.org|lkml\.kernel\.org|patch\.msgid\.link|msgid\.link)/(?:r/|[^/]+/)?"
    r"(?P<id>[^/?#]+@[^/?#]+)"
)
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
    (re.compile(rb"^The following changes since commit ", re.M), "a pull request, which has no patches in it",
     "fetch what it names into a git tree, and give the range: --base TREE@COMMIT COMMIT..FETCH_HEAD"),
    (re.compile(rb"^-----BEGIN PGP MESSAGE-----|^content-type:\s*multipart/encrypted", re.M | re.I), "encrypted",
     "decrypt it first: gpg --decrypt"),
    (re.compile(rb"^content-type:\s*application/(?:x-)?pkcs7-mime", re.M | re.I), "encrypted or signed by S/MIME",
     "save the mail's text with the mailer that can read it"),
    (re.compile(rb"^> ?(?:diff --git |--- a/)", re.M), "a reply that quotes a patch, not one itself",
     "give the mail that it answers"),
)


class CoverLetterError(PatchError):
    """Nothing but the cover letter of a series: no patch, but no mistake either if the series is there, too."""

    def __init__(self, mails: list[Mail], origin: str) -> None:
        super().__init__(f"{origin} is only a cover letter: there is no diff in it", hint="give its patches")
        self.mails = mails  # they may say what the series is for


def read_all(specs: Sequence[str], repository: Path | None = None, version: int | None = None) -> Intake:
    """All patches that `specs` name, in order; parts and versions of a series are put together. As `read_patches`.

    `version`: of the series, instead of the newest.
    """
    found: list[list[Mail] | Series] = []
    cover: CoverLetterError | None = None
    for spec in specs:
        try:
            found.append(_read(spec, repository, None, version))
        except CoverLetterError as error:
            cover = error
            found.append(error.mails)
    chosen: list[Series] = []
    for group in series.groups(found):
        if isinstance(group, Series):
            chosen.append(group)
        elif any(mail.patch for mail in group):
            origins = dict.fromkeys(mail.patch.origin for mail in group if mail.patch)
            chosen.append(series.choose(group, ", ".join(origins), version))
    if cover is not None and not chosen:
        raise cover
    return Intake(tuple(chosen))


def read_patches(spec: str, repository: Path | None = None, stdin: BinaryIO | None = None) -> list[PatchText]:
    """All patches that `spec` names, in order.

    `repository`: where a git range is looked up (else the current directory). Raises PatchError if `spec` names no
    patch, or no whole series; LabError if b4 is needed and missing or the list cannot be reached.
    """
    found = _read(spec, repository, stdin, None)
    return list((found if isinstance(found, Series) else series.choose(found, spec)).patches)


def _read(spec: str, repository: Path | None, stdin: BinaryIO | None, version: int | None) -> list[Mail] | Series:
    if spec == "-":
        return _parse(bounded(stdin or sys.stdin.buffer, "standard input"), "standard input")
    require_name(spec)
    path = Path(spec).expanduser()
    if path.is_dir():
        return _read_directory(path)
    if path.exists():  # a file, or a pipe of the shell's
        with path.open("rb") as file:
            return _parse(bounded(file, str(path)), path.name if path.is_file() else spec)
    if match := _LORE.match(spec):
        return _read_list(match["id"], version)
    if re.match(r"https?://", spec):
        raise PatchError(f"no such patch: {spec}", hint="only lore.kernel.org is known: download it, give the file")
    name, _, revision = spec.partition("@")
    if revision and Path(name).expanduser().is_dir():
        raise PatchError(f"{spec} is a kernel tree, not a patch", hint=f"--base {spec}")
    if re.fullmatch(r"<?[^\s@/]+@[^\s@/]+>?", spec):
        return _read_list(spec.strip("<>"), version)
    if ".." in spec and ".." not in spec.split("/"):
        return _read_range(spec, repository or Path.cwd())
    raise PatchError(f"no such patch: {spec}", hint=_other_names(spec, repository or Path.cwd()))


def require_name(spec: str) -> None:
    """Raise PatchError if `spec` cannot name anything at all."""
    if not spec:  # an unset variable of a script's; as a path it would be the current directory
        raise PatchError("a PATCH is empty", hint="leave it out, or name a patch")
    if "\n" in spec or len(spec) > MAX_NAME:
        raise PatchError("a PATCH is the text of one, not its name", hint="give its text to standard input, and `-`")


def _other_names(spec: str, repository: Path) -> str:
    if not spec.startswith("-") and is_repository(repository):
        argv = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{spec}^{{commit}}")
        if git(repository, *argv, ok=(0, 1, 128)).strip():
            return f"it is a commit: for its patch alone write {spec}^..{spec}, for all since v6.18 v6.18..{spec}"
    return "a file, a directory of patches, -, a git range like v6.18..fix, or a message-id"


def parse(data: bytes, origin: str) -> list[PatchText]:
    """The patches in a file: one diff, one mail, or an mbox of several. Raises PatchError if there are none."""
    return list(series.choose(_parse(data, origin), origin).patches)


def _parse(data: bytes, origin: str) -> list[Mail]:
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise PatchError(f"{origin} is empty", hint="give a patch: the output of git format-patch or diff -u")
    for begin, what, hint in _MISTAKEN:
        if data.startswith(begin):
            raise PatchError(f"{origin} is {what}, not a patch", hint=hint)
    if b"\0" in data:
        raise PatchError(f"{origin} is not a patch: there are NUL bytes in it, as in binary files and damaged mails",
                         hint="give the output of git format-patch or diff -u")
    mails = read_mails(data, origin)
    if any(mail.patch for mail in mails):
        return mails
    if any(mail.subject.number == 0 for mail in mails):
        raise CoverLetterError(mails, origin)
    for pattern, what, hint in _WITHOUT_DIFF:
        if pattern.search(data):
            raise PatchError(f"{origin} is {what}", hint=hint)
    hint = "expected lines like `--- a/file` and `@@`"
    if b"text/html" in data.lower():
        hint = "the mail is HTML: have it sent as plain text, or as an attachment"
    raise PatchError(f"{origin} is not a patch: there is no diff in it", hint=hint)


def bounded(file: BinaryIO, name: str) -> bytes:
    """All of a file. Raises PatchError if it is larger than `MAX_BYTES`."""
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise PatchError(
            f"{name} is larger than {MAX_BYTES >> 20} MiB, which no patch to test is",
            hint="for a whole tree use --base PATH, or give a git tree at two revisions",
        )
    return data


def _read_directory(path: Path) -> list[Mail] | Series:
    listed = path / "series"
    if listed.is_file():
        files = list(_read_series(listed))
    else:
        files = sorted((file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file()), key=_natural)
    if not files:
        raise PatchError(
            f"there are no patches in {path}", hint=f"looked for {', '.join(_SUFFIXES)} and a file `series`",
        )
    mails: list[Mail] = []
    cover: CoverLetterError | None = None
    for file in files:
        if not file.resolve().is_relative_to(path.resolve()):
            raise PatchError(f"{file} leads to a file that is not in {path}", hint="give the patch itself")
        with file.open("rb") as opened:
            try:
                mails += _parse(bounded(opened, str(file)), file.name)
            except CoverLetterError as error:
                cover = error
                mails += error.mails
    patches = tuple(mail.patch for mail in mails if mail.patch is not None)
    if cover is not None and not patches:
        raise cover
    # Whoever keeps a list of patches has chosen, and put them in order.
    return Series(patches, patches[0].title) if listed.is_file() else mails


def _read_series(series: Path) -> Iterable[Path]:
    """The files that quilt's list of patches names. How many directories to strip is found out for each patch."""
    for line in series.read_text(errors="replace").splitlines():
        words = re.split(r"(?:^|\s)#", line)[0].split()
        if not words:
            continue
        if "-R" in words[1:]:
            raise PatchError(f"{series}: {words[0]} is to be reversed (-R)", hint="apply it reversed to the base first")
        if not (series.parent / words[0]).is_file():
            raise PatchError(
                f"{series} names {words[0]}, which is not in {series.parent}", hint="is it still to be made?",
            )
        yield series.parent / words[0]


def _natural(file: Path) -> list[tuple[int, str]]:
    """So that `10-x.patch` comes after `9-x.patch`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", file.name)]


def _read_range(spec: str, repository: Path) -> Series:
    if not is_repository(repository):
        raise PatchError(
            f"no such patch: {spec}", hint=f"{repository} is no git repository, so it is no git range either",
        )
    # Not format-patch: there a diff in a commit message cannot be told from the commit's. No option is left to the
    # user's configuration. A...B is what diff means by it: what B has that A has not.
    argv = (
        "log", "--reverse", "--topo-order", "--right-only", "--format=%x00%x01%P%x01%s%x01", "--patch",
        "--diff-merges=off", "--no-color", "--no-ext-diff", "--no-textconv", "--no-show-signature", "--no-notes",
        "--find-renames", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--inter-hunk-context=0",
        "--submodule=short", "--no-relative", "-O/dev/null",
    )
    try:
        with reading(repository) as view:
            data = view.git(*argv, resolve_range(repository, spec), "--")
    except (LabError, SourceError) as error:
        raise PatchError(f"git knows no range {spec} in {repository}", hint=str(error).splitlines()[-1]) from error
    if not data.strip():
        raise PatchError(f"the git range {spec} has no commits", hint="older..newer; the left side is left out")
    if len(data) > MAX_BYTES:
        raise PatchError(
            f"the git range {spec} is larger than {MAX_BYTES >> 20} MiB", hint="build both ends: --base PATH@REV",
        )
    patches = []
    for commit in data.split(b"\0\x01")[1:]:
        parents, subject, diff = commit.split(b"\x01", 2)
        title = printable(subject.decode(errors="replace")) or spec
        if len(parents.split()) > 1:
            raise PatchError(
                f"the git range {spec} has a merge in it, which is no patch: {title}",
                hint=f"give the whole difference instead: git diff {spec} | panthorlab … -",
            )
        if diff.strip():  # else an empty commit
            patches.append(PatchText(title, spec, diff.lstrip(b"\n").decode("latin-1")))
    if not patches:
        raise PatchError(f"the commits of the git range {spec} change no file")
    return Series(tuple(patches), patches[0].title)


def _read_list(message_id: str, version: int | None) -> list[Mail]:
    if shutil.which("b4") is None:
        raise LabError(
            f"b4 is needed to fetch {message_id} from the mailing list, and is not installed",
            hint="install b4 (Debian), or save the mails as an mbox and give that file",
        )
    argv = ["b4", "--no-interactive", "am", "--no-cover", "-o", "-"]
    argv += [*(["--use-version", str(version)] if version is not None else []), message_id]
    try:
        with tempfile.TemporaryDirectory() as nowhere:  # b4 obeys the git repository that it is called in
            done = run(argv, timeout=300, cwd=Path(nowhere), env={"GIT_CEILING_DIRECTORIES": nowhere})
    except LabError as error:
        raise LabError(str(error), hint="is the message-id right, and lore.kernel.org reachable?") from error
    if len(done.stdout) > MAX_BYTES:
        raise PatchError(f"the thread of {message_id} is larger than {MAX_BYTES >> 20} MiB")
    return _parse(done.stdout, message_id)
