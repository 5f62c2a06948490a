# SPDX-License-Identifier: GPL-2.0-or-later
"""The draft of an answer to the mail that a patch came in, as `git send-email` takes it. Nothing is sent.

Subjects, names and logs are untrusted. What is theirs stands in a header as one line that cannot be decoded into
several, and in the body behind a margin: `git send-email` takes `Cc: …` and `…-by: …` at the beginning of a line for
somebody to write to.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.header import Header
from email.utils import formataddr
from itertools import chain
from typing import Final

from panthorlab.outcome import Role, Side
from panthorlab.report.faults import headline, owner, place, telling
from panthorlab.report.leftout import not_run
from panthorlab.report.model import MailInfo, RunReport
from panthorlab.report.text import counts, direction, fit, interval, pad, plain, wrap
from panthorlab.verdict.model import Verdict, WorkloadVerdict

COLUMNS: Final = 72
_MESSAGE_ID: Final = re.compile(r"[!-;=?-~]{3,250}")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
_MOST_IDS: Final = 20
_LONGEST: Final = 300
_LONGEST_NAME: Final = 60
_SHOWN: Final = 6
_SAYS: Final = {
    Verdict.FIXED: "The fault is gone with the patch.",
    Verdict.CLEAN: "Nothing is worse with the patch.",
    Verdict.UNCHANGED: "The two builds cannot differ, so nothing was booted.",
    Verdict.INCONCLUSIVE: "This does not tell whether the patch helps.",
    Verdict.REDUCED: "The fault is seen less often with the patch, but is still there.",
    Verdict.NOT_FIXED: "The fault is still there with the patch.",
    Verdict.REGRESSED: "With the patch something is worse.",
    Verdict.ERROR: "Something could not be checked, so this says nothing about the patch.",
}


@dataclass(frozen=True)
class Identity:
    """Who answers."""

    name: str
    address: str


def tested(report: RunReport) -> bool:
    """Whether somebody may put their name to it: a good verdict of a whole run, about lines of the patch that ran."""
    verdict = report.verdict
    good = verdict.verdict in (Verdict.FIXED, Verdict.CLEAN) and verdict.exit == 0
    return good and not report.unproved and not report.swapped


def render(report: RunReport, identity: Identity | None) -> bytes:
    """The mail: headers, an empty line, the body in UTF-8. Without `identity` it has neither sender nor trailer.

    It answers the series that was applied last. ValueError if the run has no patch that anybody could be answered
    about.
    """
    if not report.patches or report.claim:
        raise ValueError("the run has no patch of anybody's")
    mail = report.mails[-1] if report.mails else None
    head = "".join(f"{name}: {value}\n" for name, value in _headers(report, mail, identity))
    return f"{head}\n{chr(10).join(_body(report, mail, identity))}\n".encode()


def _headers(report: RunReport, mail: MailInfo | None, identity: Identity | None) -> Iterator[tuple[str, str]]:
    """By hand: what the email package folds loses its quotes, or becomes encoded words."""
    if identity is not None:
        yield "From", _person(identity.name, identity.address)
    for name, people in (("To", _to(mail)), ("Cc", _cc(mail, identity))):
        if people:
            yield name, ",\n ".join(people)
    subject = _header(_answering(_subject(report, mail)))
    yield "Subject", subject if subject.isascii() else Header(subject, "utf-8", header_name="Subject").encode()
    if mail is not None and _MESSAGE_ID.fullmatch(mail.message_id):
        above = [one for one in mail.references if _MESSAGE_ID.fullmatch(one)][-_MOST_IDS:]
        yield "In-Reply-To", f"<{mail.message_id}>"
        yield "References", "\n ".join(f"<{one}>" for one in dict.fromkeys([*above, mail.message_id]))
    yield "MIME-Version", "1.0"
    yield "Content-Type", "text/plain; charset=UTF-8"
    yield "Content-Transfer-Encoding", "8bit"


def _header(text: str) -> str:
    """One line, which no reader takes for encoded words: these could have a line break in them."""
    return fit(plain(text).replace("=?", "= ?"), _LONGEST)


def _person(name: str, address: str) -> str:
    return formataddr((fit(_header(name), _LONGEST_NAME), address))


def _people(people: Iterable[tuple[str, str]]) -> list[str]:
    known: dict[str, tuple[str, str]] = {}
    for name, address in people:
        if _ADDRESS.fullmatch(address):
            known.setdefault(address.lower(), (name, address))
    return [_person(name, address) for name, address in known.values()]


def _to(mail: MailInfo | None) -> list[str]:
    return _people([mail.sender]) if mail and mail.sender else []


def _cc(mail: MailInfo | None, identity: Identity | None) -> list[str]:
    if mail is None:
        return []
    without = {address.lower() for _, address in ([mail.sender] if mail.sender else [])}
    without |= {identity.address.lower()} if identity else set()
    return _people(one for one in (*mail.to, *mail.cc) if one[1].lower() not in without)


def _subject(report: RunReport, mail: MailInfo | None) -> str:
    return mail.subject if mail and mail.subject else f"[PATCH] {report.patches[0].title}"


def _answering(subject: str) -> str:
    return subject if subject.lower().startswith("re:") else f"Re: {subject}"


def _body(report: RunReport, mail: MailInfo | None, identity: Identity | None) -> Iterator[str]:
    if mail is not None and mail.sender is not None:
        # never the name first: it may be called `Cc: somebody`
        when = f"On {plain(mail.date)}" if mail.date else "Earlier"
        yield f"{when}, {plain(mail.sender[0] or mail.sender[1])} wrote:"
    yield from wrap(plain(_subject(report, mail)), COLUMNS, first="> ", rest="> ")
    yield ""
    yield from wrap(
        f"Tested with panthorlab {plain(report.version)}: {report.verdict.verdict}. {_SAYS[report.verdict.verdict]}",
        COLUMNS,
    )
    if report.swapped:
        yield from wrap("The sides were swapped: before is the kernel with the patch.", COLUMNS)
    if report.board.emulated:
        yield from wrap(
            "This ran on an emulated GPU, not on hardware: no pixels, no caches, and timing that is not a board's.",
            COLUMNS,
        )
    for part in (_reasons(report), _what(report), _numbers(report), _fault(report), _rest(report), _again(report)):
        lines = list(part)
        if lines:
            yield from ("", *lines)
    if identity is not None and tested(report):
        on = f"{plain(report.board.name)}{', emulated' if report.board.emulated else ''}"
        yield from ("", f"Tested-by: {_trailer(identity)} # panthorlab on {on}")


def _trailer(identity: Identity) -> str:
    """As git writes people: not in the words of a header."""
    return f"{re.sub('[<>]', '', plain(identity.name))} <{identity.address}>"


def _list(items: Iterable[str], *, most: int = _SHOWN) -> Iterator[str]:
    shown = list(items)
    yield from chain.from_iterable(wrap(plain(item), COLUMNS, first="  - ", rest="    ") for item in shown[:most])
    if len(shown) > most:
        yield f"  - and {len(shown) - most} more"


def _reasons(report: RunReport) -> Iterator[str]:
    yield from _list(report.verdict.reasons)


def _what(report: RunReport) -> Iterator[str]:
    yield "What was tested:"
    rows = [("base", " ".join(filter(None, [report.base, report.base_commit and f"(commit {report.base_commit})"])))]
    rows += [("patch", f"{patch.title} ({patch.state})" if patch.state else patch.title) for patch in report.patches]
    for side in Side:
        if kernel := report.kernels.get(side):
            proved = f"build-id {kernel.build_id}" if kernel.build_id else "build-id not proved"
            rows.append((side, ", ".join(filter(None, [kernel.release, proved, kernel.toolchain]))))
    about = "emulated" if report.board.emulated else "real hardware" if report.board.facts else "nothing was booted"
    rows.append(("board", f"{report.board.name} ({about})"))
    rows.append(("suites", ", ".join(report.suites)))
    boots = report.verdict.boots
    rows.append(("boots", f"{boots.get(Side.BEFORE, 0)} before, {boots.get(Side.AFTER, 0)} after"))
    for name, value in rows:
        if value:
            yield from wrap(plain(value), COLUMNS, first=f"  {name:<8}", rest=" " * 10)


def _numbers(report: RunReport) -> Iterator[str]:
    workloads = [w for w in report.verdict.workloads if w.role is not Role.WATCH or w in report.verdict.residual]
    if not workloads:
        return
    yield "Faulty iterations of all, 95 % intervals (Wilson), p of the change:"
    yield ""
    yield f"  {pad('', 22)} {'before':>9} {'':8} {'after':>9} {'':8} {'p':>8}"
    for role, title in ((Role.CLAIM, ""), (Role.CONTROL, "controls:"), (Role.WATCH, "not claimed by the patch:")):
        own = [workload for workload in workloads if workload.role is role]
        if own and title:
            yield f"  {title}"
        yield from map(_row, own)


def _row(workload: WorkloadVerdict) -> str:
    before = f"{counts(workload.before):>9} {interval(workload.before):8}"
    after = f"{counts(workload.after):>9} {interval(workload.after):8}"
    return f"  {pad(plain(workload.name), 22)} {before} {after} {direction(workload):>8}"


def _fault(report: RunReport) -> Iterator[str]:
    finding = telling(report)
    if finding is None:
        return
    total = len(report.findings)
    yield f"One of {total} finding{'s' if total > 1 else ''}:"
    yield from wrap(headline(finding), COLUMNS, first="  ", rest="    ")
    if whose := owner(finding):
        yield from wrap(f"belongs to {whose}", COLUMNS, first="  ", rest="    ")
    yield from wrap(f"seen in {place(finding)}", COLUMNS, first="  ", rest="    ")


def _rest(report: RunReport) -> Iterator[str]:
    """What a reader must not take for tested."""
    yield from _list(
        [
            *(found.reason for found in report.verdict.surprises),
            *not_run(report.left_out),
            *(report.coverage_lines or ()),
        ]
    )


def _again(report: RunReport) -> Iterator[str]:
    if report.repeat:
        yield "To have it again:"
        yield f"  {plain(shlex.join(report.repeat))}"
