# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts: the same from the same seed, each one parses, and the guest program has what the grammar has."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import panthorlab.guest
from panthorlab.errors import UsageError
from panthorlab.fuzz.generate import generate
from panthorlab.fuzz.grammar import ACTS, CALLS, FOLLOWERS, KINDS, MISDEEDS, STREAMS
from panthorlab.fuzz.script import SYNCS, WORDS, ScriptLine, parse, rules, write
from panthorlab.gpu.misbehave import parse as parse_rule

GUEST = Path(panthorlab.guest.__path__[0])
NAMES = frozenset(rule.partition(",")[0] for rule in MISDEEDS)


@given(st.text(max_size=8))
def test_same_seed_same_script_and_it_parses(seed: str) -> None:
    script = generate(seed, NAMES)
    assert script == generate(seed, NAMES)
    assert parse(write(script)) == script


@given(st.text(max_size=8), st.data())
def test_each_part_of_a_script_parses(seed: str, data: st.DataObject) -> None:
    script = generate(seed, NAMES)
    part = tuple(line for line in script if data.draw(st.booleans()))
    assert parse(write(part)) == part


def may_strike_the_firmware(rule: str) -> bool:
    name, *words = rule.split(",")
    return name == "mmu-fault" and not any(re.fullmatch(r"requester=(?!mcu).*", word) for word in words)


@given(st.text(max_size=8))
def test_known_bugs_are_left_out(seed: str) -> None:
    script = generate(seed, NAMES)
    for line, after in itertools.pairwise(script):
        if line.call in ("bind", "sparse") and ("async", "1") in line.arguments:
            (syncobj,) = (value for name, value in line.arguments if name == "signal")
            assert after.call == "wait", "docs/findings/0022"
            assert f"s{dict(after.arguments)['sync']}" == syncobj
            assert ("beside", None) not in line.arguments
    waits = aside = False  # of the file that the process uses, and of its other one
    for line in script:
        if line.call in ("exit", "kill"):
            waits = aside = False
        elif line.call == "switch":
            waits, aside = aside, waits
        waits = ("stream", "wait") in line.arguments or (waits and line.call != "close")
        assert not (waits and (line.call == "vm_destroy" or ("va", "0x10000000") in line.arguments)), "0024"
        syncs = [value for name, value in line.arguments if name in ("signal", "wait")]
        assert set(syncs) <= {"s0", "s1", "s2", "s3"}, "docs/findings/0001"
        assert len(syncs) == len(set(syncs)) <= SYNCS, "docs/findings/0021"
        assert len(line.arguments) < WORDS
        assert not re.match(r"as-stuck|(boot|reset)-(?!late,ms=\d\b)", line.rule or ""), (
            "docs/findings/0003, 0010, 0011"
        )
        assert not re.match(r"cs-fatal(?!,exception=0x48)", line.rule or ""), "docs/findings/0025"
        assert not may_strike_the_firmware(line.rule or ""), "docs/findings/0023"


def test_without_misdeeds_there_are_none() -> None:
    assert not any(rules(generate(f"1:{number}")) for number in range(100))
    assert any(rules(generate(f"1:{number}", NAMES)) for number in range(100))


def test_every_call_comes() -> None:
    seen = {line.call for number in range(100) for line in generate(f"1:{number}", NAMES)}
    assert seen == {*CALLS, *ACTS, "misdeed"}


@pytest.mark.parametrize("rule", MISDEEDS)
def test_misdeeds_are_those_of_the_gpu(rule: str) -> None:
    assert parse_rule(rule)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nonsense", "no call nonsense"),
        ("vm_create b0", "makes no b0"),
        ("vm_destroy v0", "makes no v0"),
        ("submit vm=v0", "has no vm"),
        ("submit stream=fast", "no stream fast"),
        ("bind va=x", "x is no value"),
        ("bind va=0x", "no value"),
        ("bind va=v99", "is no slot"),
        ("bind va=z1", "is no slot"),
        ("vm_create v16", "makes no v16"),
        ("misdeed", "one rule"),
        ("sleep us=3", "has no us"),
        ("submit signal=s0 signal=s1 wait=s2", "more than 2 syncs"),
        ("dev_query" + " type=1" * 17, "more than 16 words"),
    ],
)
def test_what_is_no_script_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=rf"line 2 of the script: .*{re.escape(why)}"):
        parse(f"close # comment\n{text}\n")


OF_1_0 = """\
vm_create v0
bo_create b0 size=0x4000 vm=v0 flags=1
bind vm=v0 bo=b0 va=0x1000000 size=0x4000 offset=0 flags=1 async=1 signal=s0
wait sync=0 ms=8000
group_create g0 vm=v0 queues=2 prio=1 ring=0x1000
heap_create h0 vm=v0 chunks=1
submit group=g0 stream=tiles jobs=2 signal=s1 wait=s0 times=20 beside
bo_mmap bo=b0
unbind va=0x1001000 size=0x1000 ops=2
dev_query type=2
look
close
suspended ms=60
misdeed tiler-chunk,times=0
kill
"""


def test_scripts_of_older_versions_still_parse() -> None:
    assert write(parse(OF_1_0)) == OF_1_0


def test_slots_are_used_that_their_file_has_made() -> None:
    """Of mappings and dma-bufs those that the process has made, of the rest those of the file that it uses just then;
    but for guesses, and for what ought to be refused."""
    hits = misses = 0
    for seed in range(100):
        made: list[set[str]] = [set(), set(), set()]  # by this file, by the other one, by the process
        for line in generate(f"1:{seed}"):
            if line.call in ("exit", "kill"):
                made = [set(), set(), set()]
            elif line.call == "close":
                made[0] = set()
            elif line.call == "switch":
                made[:2] = made[1::-1]
            for _, value in line.arguments:
                if value and re.fullmatch(r"[vbghmf]\d+", value):
                    have = {one for one in made[0] | made[2] if one[0] == value[0]}
                    hits += value in have
                    misses += bool(have) and value not in have
            if line.into:
                made[2 if line.into[0] in "mf" else 0].add(line.into)
    assert hits > 2000
    assert misses < hits / 10


def chains(script: tuple[ScriptLine, ...]) -> set[str]:
    """What comes in it that needs several calls to have worked, in one process."""
    found: set[str] = set()
    made: set[str] = set()
    gone: set[str] = set()
    for line in script:
        words = dict(line.arguments)
        if line.call in ("exit", "kill"):
            made, gone = set(), set()
        elif line.call == "evict" and words["out"] == "1":
            gone |= made
        elif line.call == "touch" and words["map"] in gone:
            found.add("what was let go is read")
        elif words.get("file") in made:
            found.add(line.call)
        if line.into and line.into[0] in "mf":
            made.add(line.into)
            gone.discard(line.into)
    return found


def test_chains_of_calls_come_in_each_few_scripts() -> None:
    for seed in range(1, 6):
        seen = Counter(chain for number in range(50) for chain in chains(generate(f"{seed}:{number}")))
        assert seen["what was let go is read"] >= 3, seen
        assert min(seen[call] for call in ("access", "import", "file_map")) >= 3, seen


def test_what_follows_is_a_call() -> None:
    assert {name for pair in FOLLOWERS.items() for name in (pair[0], *pair[1])} <= CALLS.keys()


def test_values() -> None:
    (line,) = parse("bind  va=e0-0x1000 size=-4096 bo=b3+1 async # wild\n\n")
    assert line == ScriptLine("bind", None, (("va", "e0-0x1000"), ("size", "-4096"), ("bo", "b3+1"), ("async", None)))


def test_the_guest_program_has_the_same_calls() -> None:
    """And fields, streams and other lines: what one refuses, the other would."""
    shared = {"FUZZ_BIND_FIELDS": (GUEST / "gpu-fuzz.h").read_text()}
    calls: dict[str, set[str]] = {}
    for name in ("kinds", "later", "memory"):
        text = (GUEST / f"gpu-fuzz-{name}.c").read_text()
        table = re.split(r"const struct fuzz_call_kind \w+\[\] = ", text)[1]
        for macro in re.findall(r"\b(?:[A-Z]+_)*FIELDS?\b", table):
            defined = re.search(rf"#define {macro}\b((?:.*\\\n)*.*)", shared.get(macro, text))
            assert defined, macro
            table = table.replace(macro, defined[1].replace("\n", " "))
        rows = re.findall(r'\n\t\{ "(\w+)", (?:0|\w+IOCTL\w+), (.*?)(?=\n\t\{ )', table, re.DOTALL)
        calls |= {row: set(re.findall(r'\{ "(\w+)", (?:FUZZ_)?OF', rest)) for row, rest in rows}
    for name, call in CALLS.items():
        assert {field.name for field in call.fields} - {"stream"} <= calls.pop(name), name
    assert not calls
    streams = (GUEST / "gpu-fuzz-streams.c").read_text()
    assert set(re.findall(r'\{ "([\w-]+)", write_', streams)) == set(STREAMS)
    acts = (GUEST / "gpu-fuzz.c").read_text()
    assert set(re.findall(r'\{ "(\w+)", do_', acts)) == {*ACTS, "misdeed"}


def test_the_guest_program_has_the_same_kinds_of_slots() -> None:
    letters = re.search(r'#define FUZZ_LETTERS "(\w+)"', (GUEST / "gpu-fuzz.h").read_text())
    assert letters
    assert letters[1] == KINDS
