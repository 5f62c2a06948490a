# SPDX-License-Identifier: GPL-2.0-or-later
"""From physical lines to logical ones.

Lines broken by a terminal or mailer are joined, an entry of several lines (journalctl -o export, verbose and
json-pretty, dmesg -J) becomes one, and of lines written by two sinks one is kept.

Most logs need none of this. Two searches of a block find candidate lines; only those are examined.
"""

from __future__ import annotations

import json
import re
from typing import Final

from panthorlab.kmsg.lines import MAX_LINE, cut

_MAX_BROKEN: Final = 1 << 16
_LOOKAHEAD: Final = 3
"""Lines at the end of a block that are held back until more input comes."""

_COMMON_START = (
    rb"(?:<\d{1,3}>)?\[ {0,8}\d{1,10}\.\d|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d "
    rb"|\d{4}-\d\d-\d\dT\d\d:|\d{1,3},\d{1,20},\d"
)
_ALL_STAMPED = re.compile(rb"\[[ \d]")
_NOT_STAMPED = re.compile(rb"\n(?!\[[ \d])")
_ODD = re.compile(rb"\n(?!" + _COMMON_START + rb")(?=[^\r\n])")
_DOUBLED = re.compile(rb"\n([^\n\[][^\n]*+)\n\1(?=\n)")
_KMSG = re.compile(rb" [A-Z_]+=|(?:\d+\.[^,;\s]{1,64},)?\d{1,10},\d{1,20},\d{1,20},")

_QUOTE = re.compile(rb"(?:[>|] ?){1,16}")
_FULL_STAMP = re.compile(rb"\[ {0,8}\d{1,10}\.\d{6}")
_DRIVER = rb"(?:pan(?:thor|frost|csf)|mali(?:_kbase)?|tyr)(?: [^ ]{0,64})?: "
_PREFIXED = re.compile(
    _COMMON_START
    + rb"|\[[^\[\]]{3,24} \d\d:\d\d:\d\d[^\[\]]{0,40}\]|\[ *[+<] *\d+\.\d+>?\]|\[[A-Z][a-z]{2} ?\d{1,2} \d\d:"
    rb"|[^\n]{0,80}\b(?:kernel(?:\[\d+\])?: |kern(?: {0,6}:|: |\.)[a-z]{3,7}\b|kernel - - )|" + _DRIVER
)
_OWN_LINE = re.compile(rb"[-=]{4,}|Call trace:|---\[|\S{0,64}[#$](?: |$)|```")
"""Lines after a record that are not the rest of a broken line."""
_SHORTEST: Final = 20
"""Minimum length of a line that a mailer has wrapped, as no words but Rust names are long enough for less."""
_MANGLED: Final = re.compile(rb"(?:[>|] ?){0,16}_R")
_UNFINISHED = re.compile(rb"(?:[:=,(]|\[drm\]|\*ERROR\*) ?$")
"""Ends of lines with which no message ends."""
_TERMINALS = frozenset({80, 90, 96, 100, 110, 120, 128, 132, 140, 150, 160, 180, 200, 220, 240})
_NARROWEST_MAIL, _NARROWEST_FLOWED, _WIDEST_MAIL = 72, 60, 80

_EXPORT = re.compile(rb"__CURSOR=")
_EXPORT_END = re.compile(rb"(?<!\nMESSAGE)\n(?=\n|__CURSOR=)")
_VERBOSE = re.compile(rb"[A-Z][a-z]{2} \d{4}-\d\d-\d\d [\d:.]{8,18} \S{1,8} \[s=")
_OBJECT = re.compile(rb"\s{0,32}(?:\}\s?,\s?|\[\s?)?\{\s*$")
_EVENT = b"data: {"
"""journalctl -o json-sse; a blank line ends each."""
_ENTRY = re.compile(rb"__CURSOR=|data: \{|[A-Z][a-z]{2} \d{4}-|\s{0,32}[}\[,{]")
_OBJECT_END = re.compile(rb"\s{0,32}\}")
_IN_OBJECT = re.compile(rb'\s{0,64}["\]\d]')
_FIELD = re.compile(rb"[ \t]{0,4}([A-Z_][A-Z0-9_]{0,63})(=|$)")
_WANTED = frozenset({"MESSAGE", "_TRANSPORT", "SYSLOG_FACILITY", "_SOURCE_MONOTONIC_TIMESTAMP"})
_NOT_A_PREFIX = re.compile(rb"[\W\d_TZOE]*$")


class Folder:
    """Feed it blocks of whole lines; it returns segments: (number of the first line, whole logical lines). The lines of
    a segment count one each; where one counts for several, a new segment begins after it."""

    def __init__(self) -> None:
        self._data = b""
        self._last = False
        self._start = 0
        self._number = 1
        self._in_doubles = False
        self._segments: list[tuple[int, bytes]] = []

    def feed(self, block: bytes) -> list[tuple[int, bytes]]:
        return self._fold(self._data + block, last=False) if block else []

    def close(self) -> list[tuple[int, bytes]]:
        """The lines held back, at the end of the input."""
        return self._fold(self._data, last=True) if self._data else []

    def _fold(self, data: bytes, *, last: bool) -> list[tuple[int, bytes]]:
        self._data, self._last, self._start = data, last, 0
        waits = None
        if not _ALL_STAMPED.match(data) or _NOT_STAMPED.search(data, 0, len(data) - 1):
            waits = self._look(b"\n" + data)
        end = waits if waits is not None else len(data) if last else max(self._start, self._settled())
        self._plain(end)
        self._data = data[end:]
        segments, self._segments = self._segments, []
        return segments

    def _look(self, data: bytes) -> int | None:
        """Examine the lines that may not be logical lines; returns the offset from which data must wait for more."""
        marks = dict.fromkeys((found.start() for found in _ODD.finditer(data)), False)
        marks.update(dict.fromkeys((found.start() for found in _DOUBLED.finditer(data)), True))
        for mark in sorted(marks):
            if mark < self._start:
                continue
            waits = None
            if marks[mark]:
                waits = self._doubled(mark)
            if waits is None and mark >= self._start and _ENTRY.match(self._data, mark):
                waits = self._entry(mark)
            if waits is None and mark > self._start:
                begin = self._data.rfind(b"\n", self._start, mark - 1) + 1 or self._start
                if mark - begin > _SHORTEST or _MANGLED.match(self._data, mark):
                    waits = self._broken(begin, mark)
            if waits is not None:
                return waits
        return None

    def _settled(self) -> int:
        """Offset of the first line that later input may change."""
        end = len(self._data)
        begin = self._data.rfind(b"\n", 0, end - 1) + 1
        if _KMSG.match(self._data, begin):
            return end
        for _ in range(_LOOKAHEAD - 1):
            begin = self._data.rfind(b"\n", 0, max(0, begin - 1)) + 1
        return begin

    def _line(self, begin: int) -> tuple[bytes, int]:
        """(the line that begins at `begin`, without its line end; offset of the next line)."""
        end = self._data.index(b"\n", begin) + 1
        return cut(self._data[begin:end]), end

    def _plain(self, end: int) -> None:
        if end > self._start:
            self._segments.append((self._number, self._data[self._start : end]))
            self._number += self._data.count(b"\n", self._start, end)
            self._start, self._in_doubles = end, False

    def _logical(self, line: bytes, begin: int, end: int) -> None:
        """Replace the lines from `begin` to `end` by `line`."""
        self._plain(begin)
        self._segments.append((self._number, line + b"\n"))
        self._number += self._data.count(b"\n", begin, end)
        self._start, self._in_doubles = end, False

    def _doubled(self, mark: int) -> int | None:
        pairs: list[tuple[bytes, int, int]] = []
        known = self._in_doubles and mark == self._start
        at = mark
        while at < len(self._data):
            line, second = self._line(at)
            if second == len(self._data):
                break
            other, end = self._line(second)
            if line != other or not line.strip() or (pairs and not known and line == pairs[-1][0]):
                break
            pairs.append((line, at, end))
            at = end
        if len(pairs) + known < 2:
            undecided = bool(pairs) and not self._last and self._data.find(b"\n", self._data.find(b"\n", at) + 1) < 0
            return mark if undecided else None
        for line, begin, end in pairs:
            self._logical(line, begin, end)
            self._in_doubles = True
        return None

    def _entry(self, mark: int) -> int | None:
        first, at = self._line(mark)
        verbose = False
        if _EXPORT.match(first):
            found = _EXPORT_END.search(self._data, mark, mark + MAX_LINE)
            end = found.end() + (self._data[found.end() : found.end() + 1] == b"\n") if found else 0
        elif _VERBOSE.match(first):
            end, verbose = self._end_of_indented(at), True
        elif _OBJECT.match(first):
            return self._object(mark)
        elif first.startswith(_EVENT):
            if at < len(self._data) and self._data[at : at + 1] == b"\n":
                self._logical(first, mark, at + 1)
            return mark if at == len(self._data) and not self._last else None
        else:
            return None
        if not end:
            if not self._last and len(self._data) - mark < MAX_LINE:
                return mark
            end = len(self._data)
        if end - mark < MAX_LINE:
            self._logical(_journal_entry(self._data[at:end], verbose=verbose), mark, end)
        return None

    def _end_of_indented(self, at: int) -> int:
        """Offset of the first line from `at` on that is not indented; 0 if it has not arrived yet."""
        while at < len(self._data):
            if self._data[at : at + 1] not in {b" ", b"\t"}:
                return at
            at = self._data.index(b"\n", at) + 1
        return 0

    def _object(self, mark: int) -> int | None:
        """An innermost JSON object of several lines."""
        pieces, at = [b"{"], self._line(mark)[1]
        while at < len(self._data) and at - mark < MAX_LINE:
            line, end = self._line(at)
            if _OBJECT_END.match(line):
                self._logical(b"".join([*pieces, b"}"]), mark, at if line.rstrip().endswith(b"{") else end)
                return None
            if not _IN_OBJECT.match(line):
                return None
            pieces.append(line)
            at = end
        return mark if not self._last and at - mark < MAX_LINE else None

    def _broken(self, begin: int, at: int) -> int | None:
        head = cut(self._data[begin:at])
        pieces, last = [head], head
        size = len(head)
        while size < _MAX_BROKEN:
            if at == len(self._data):
                if not self._last:
                    return begin
                break
            piece, end = self._line(at)
            seam = _seam(head, last, piece)
            if seam is None:
                break
            pieces += [seam, _without_quote(piece) if seam == b"" else _without_quote(piece).lstrip()]
            last, at, size = piece, end, size + len(piece)
        if len(pieces) > 1:
            self._logical(b"".join(pieces), begin, at)
        return None


def _without_quote(line: bytes) -> bytes:
    found = _QUOTE.match(line)
    return line[found.end() :] if found else line


def _seam(head: bytes, piece: bytes, following: bytes) -> bytes | None:
    """The text removed where a line was broken before `following`: nothing for a terminal's hard wrap, a space for a
    mailer's; None if it was not broken. `head`: the beginning of the line; `piece`: its last part."""
    rest = _without_quote(following)
    is_hard = len(_without_quote(piece)) in _TERMINALS
    if not rest.strip() or _PREFIXED.match(rest) or (rest[:1].isspace() and not is_hard):
        return None
    if _OWN_LINE.match(rest.lstrip()) and not _UNFINISHED.search(piece):
        return None
    if _KMSG.match(head) or not (_FULL_STAMP.search(head) or _PREFIXED.match(_without_quote(head))):
        return None
    if stamp := _FULL_STAMP.search(rest, 0, 160):
        own = _FULL_STAMP.search(_without_quote(head))
        if _NOT_A_PREFIX.match(rest[: stamp.start()]) or (own and own.start() and abs(own.start() - stamp.start()) < 4):
            return None
    if is_hard:
        return b""
    narrow = _NARROWEST_FLOWED if piece.endswith(b" ") else _NARROWEST_MAIL
    length = len(piece.rstrip())
    if length <= _WIDEST_MAIL and length + 1 + len(rest.split(None, 1)[0]) >= narrow:
        return b"" if piece.endswith(b" ") else b" "
    return None


def _journal_entry(lines: bytes, *, verbose: bool) -> bytes:
    """One line of JSON of the fields of an entry of `journalctl -o export` or `verbose`."""
    fields: dict[str, list[bytes]] = {}
    name, counted = "", set()
    for line in lines.rstrip(b"\n").split(b"\n"):
        found = _FIELD.match(line)
        if found and (found[2] or not verbose):
            name = found[1].decode("ascii")
            fields.setdefault(name, [line[found.end() :]] if found[2] else [])
            counted |= set() if found[2] else {name}
        elif name:
            fields[name].append(line.strip() if verbose else line)
    values = {name: b"\n".join(fields[name]) for name in _WANTED & set(fields)}
    for name in counted & set(values):
        values[name] = _without_length(values[name])
    texts = {name: value.decode("utf-8", "replace") for name, value in values.items()}
    return json.dumps(texts, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")


def _without_length(value: bytes) -> bytes:
    """Strip the length before a value of several lines: eight bytes, of which cleaning left at most the lowest."""
    return value[1:] if value and value[0] == (len(value) - 1) & 0xFF else value
