# SPDX-License-Identifier: GPL-2.0-or-later
"""Where each test runs, and that nothing of a variant touches what is said of the plain boots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.registry import open_board
from panthorlab.errors import UsageError
from panthorlab.kernel.driver import FEATURES, PANTHOR, TYR
from panthorlab.outcome import Side
from panthorlab.run.plan import Slot, variant_slots
from panthorlab.run.record import Need, Planned, Variant
from panthorlab.run.record.codec import decode, encode
from panthorlab.run.survey import survey
from panthorlab.run.validate import SIDES
from panthorlab.run.variants import DEBUG, DEBUG_ITERATIONS, LONGEST_SLUG, Offer, needed, plan_variants
from panthorlab.verdict.model import Verdict

from .recorded import judge, report
from .test_results import END, KERNELS, START, boot, whole

EMULATED, REAL = [open_board("qemu-g610")], [open_board("rock-5b")]
QUICK, DEEP = Need("a::quick", counted=True), Need("a::deep", deep=True)
KASAN, OWN = Need("k::kasan", kernel=("kasan",)), Need("k::own", kernel=("gcov",))
CHUNK, BOTH = (
    Need("g::chunk", gpu={"tiler.chunks_per_job": "1"}),
    Need("g::both", deep=True, kernel=("kasan",), gpu={"tiler.chunks_per_job": "1"}),
)
ROCK = Need("b::rock", board=("rock-5b",))
ALL = [QUICK, DEEP, KASAN, OWN, CHUNK, BOTH, ROCK]


def offer(*, deep: bool = False, **changes: Any) -> Offer:
    return Offer(deep, frozenset({*DEBUG, "gcov"}), EMULATED, **changes)


def shown(planned: Planned) -> dict[str, tuple[str, ...]]:
    return {variant.name: variant.tests for variant in planned.variants}


def test_a_default_run_has_what_is_quick_and_says_what_it_leaves_out() -> None:
    planned = plan_variants(ALL, offer())
    assert planned.plain == ("a::quick",)
    assert shown(planned) == {"tiler.chunks_per_job=1": ("g::chunk",)}
    assert set(planned.left_out) == {"a::deep", "k::kasan", "k::own", "g::both", "b::rock"}
    assert "--deep" in planned.left_out["a::deep"]
    assert "kasan" in planned.left_out["k::kasan"]
    assert "rock-5b" in planned.left_out["b::rock"]


def test_a_deep_run_has_everything_that_its_board_can_do() -> None:
    planned = plan_variants(ALL, offer(deep=True))
    assert planned.plain == ("a::quick",)
    assert shown(planned) == {
        "debug": ("a::quick", "k::kasan"),
        "debug,tiler.chunks_per_job=1": ("g::chunk", "g::both"),
        "gcov": ("k::own",),
        "deep": ("a::deep",),
        "tiler.chunks_per_job=1": ("g::chunk",),
    }
    assert set(planned.left_out) == {"b::rock"}
    by_name = {variant.name: variant for variant in planned.variants}
    assert by_name["debug"].fragments == DEBUG
    assert by_name["debug"].at_most == DEBUG_ITERATIONS
    assert by_name["gcov"].at_most is None


@pytest.mark.parametrize(
    ("names", "fragments"),
    [((), ()), (("ubsan", "kasan"), DEBUG), (("huge-pages",), ("huge-pages",)), (("kasan", "a"), ("a", "kasan"))],
)
def test_the_debug_kernel_is_for_what_its_fragments_are_enough_for(
    names: tuple[str, ...], fragments: tuple[str, ...]
) -> None:
    assert needed(names, DEBUG) == fragments


def test_a_deep_run_builds_a_kernel_for_the_suite_of_huge_pages() -> None:
    needs = list(survey([Path("suites/test_huge_pages.py").resolve()]))
    found = plan_variants(needs, Offer(True, frozenset({*DEBUG, "huge-pages"}), EMULATED))
    assert shown(found) == {"huge-pages": ("huge_pages::test_part_of_a_huge_page_is_unmapped",)}
    quick = plan_variants(needs, Offer(False, frozenset({*DEBUG, "huge-pages"}), EMULATED))
    assert "wants a kernel with huge-pages" in quick.left_out["huge_pages::test_part_of_a_huge_page_is_unmapped"]


def test_what_wants_an_overlay_that_is_not_there_has_no_boot_of_its_own() -> None:
    needs = [Need("v::draws", overlay="mesa-vulkan"), Need("g::wide", gpu={"p": "1"}, overlay="mesa-gl")]
    planned = plan_variants(needs, offer(without=frozenset({"mesa-gl"})))
    assert (planned.plain, planned.variants) == (("v::draws",), ())
    assert planned.left_out["g::wide"].endswith("add --overlay mesa-gl")


def test_what_the_driver_cannot_do_does_not_run_and_the_reason_is_told() -> None:
    needs = [
        Need("p::probes", driver=("probe",)),
        Need("j::jobs", driver=("vm", "groups")),
        Need("m::mine", deep=True),
        Need("g::wide", gpu={"p": "1"}, driver=("probe", "heaps")),
    ]
    planned = plan_variants(needs, offer(drivers=[TYR]))
    assert (planned.plain, planned.variants) == (("p::probes",), ())
    assert planned.left_out == {
        "j::jobs": "wants a driver that can do vm, groups, which tyr cannot yet",
        "m::mine": "wants a driver that can do csif, vm, groups, heaps, power, recovery, which tyr cannot yet",
        "g::wide": "wants a driver that can do heaps, which tyr cannot yet",
    }
    assert plan_variants(needs, offer(drivers=[PANTHOR])).plain == ("p::probes", "j::jobs")
    assert plan_variants(needs, offer(drivers=[PANTHOR, TYR])).plain == ("p::probes",), "both sides must be able to"


def test_the_debug_kernel_is_without_what_the_driver_excludes() -> None:
    needs = [Need("p::probes", driver=("probe",)), Need("k::kasan", kernel=("kasan",), driver=("probe",))]
    planned = plan_variants(needs, offer(deep=True, drivers=[TYR]))
    assert planned.plain == ("p::probes",)
    assert shown(planned) == {"debug": ("p::probes",)}
    assert planned.variants[0].fragments == tuple(name for name in DEBUG if name != "kasan")
    assert planned.left_out == {"k::kasan": "wants a kernel with kasan; Linux allows no KASAN with Rust and gcc"}


@pytest.mark.parametrize(
    ("marker", "driver"),
    [
        ("", tuple(FEATURES)),
        ('pytestmark = pytest.mark.driver("groups", "vm")', ("vm", "groups")),
        ('pytestmark = [pytest.mark.driver("probe")]', ("probe",)),
    ],
)
def test_a_suite_says_what_a_driver_must_have(tmp_path: Path, marker: str, driver: tuple[str, ...]) -> None:
    suite = tmp_path / "test_mine.py"
    suite.write_text(
        f'import pytest\n{marker}\ndef test_all(): pass\n@pytest.mark.driver("csif")\ndef test_less(): pass\n'
    )
    by_test = {need.test: need for need in survey([suite])}
    assert by_test["mine::test_all"].driver == driver
    assert by_test["mine::test_less"].driver == ("csif",), "what stands nearer to the test counts"
    assert decode(Need, json.loads(json.dumps(encode(by_test["mine::test_all"])))) == by_test["mine::test_all"]


@pytest.mark.parametrize("marker", ['driver("vms")', "driver()", "driver(vm=True)", 'driver(["vm"])'])
def test_what_no_driver_can_do_is_refused(tmp_path: Path, marker: str) -> None:
    (tmp_path / "test_mine.py").write_text(f"import pytest\n@pytest.mark.{marker}\ndef test_it(): pass\n")
    with pytest.raises(UsageError, match="takes what a driver can do"):
        survey([tmp_path / "test_mine.py"])


def test_needs_of_earlier_versions_are_those_of_panthor() -> None:
    old = {"test": "a::t", "deep": False, "kernel": [], "gpu": {}, "board": [], "counted": True, "overlay": ""}
    assert decode(Need, old) == Need("a::t", counted=True)


def test_a_suite_that_is_named_is_asked_for() -> None:
    planned = plan_variants(ALL, offer(named=frozenset({"a"})))
    assert planned.plain == ("a::quick", "a::deep")


def test_kernels_that_have_it_already_need_no_other() -> None:
    has_all = Offer(deep=True, lacking=frozenset({"gcov"}), boards=EMULATED, named=frozenset({"a", "k"}))
    planned = plan_variants([QUICK, DEEP, KASAN], has_all)
    assert planned.plain == ("a::quick", "a::deep", "k::kasan")
    assert not planned.variants


def test_finished_kernels_are_not_built_anew_and_the_reason_is_told() -> None:
    planned = plan_variants(ALL, offer(deep=True, no_build="they are finished"))
    assert set(shown(planned)) == {"deep", "tiler.chunks_per_job=1"}
    assert "they are finished" in planned.left_out["k::kasan"]


def test_parameters_of_the_run_itself_need_no_boot_of_their_own() -> None:
    planned = plan_variants([CHUNK], offer(params={"tiler.chunks_per_job": "1"}))
    assert planned.plain == ("g::chunk",)


def test_real_boards_have_no_parameters() -> None:
    planned = plan_variants([CHUNK, ROCK], Offer(False, frozenset(), REAL))
    assert planned.plain == ("b::rock",)
    assert "g::chunk" in planned.left_out


needs = st.builds(
    Need,
    st.from_regex(r"[a-c]::t[0-9]", fullmatch=True),
    st.booleans(),
    st.lists(st.sampled_from([*DEBUG, "gcov", "x"]), unique=True, max_size=2).map(tuple),
    st.dictionaries(st.sampled_from(["p", "q"]), st.sampled_from(["1", "2"])),
    st.lists(st.sampled_from(["emulated", "rock-5b"]), max_size=1).map(tuple),
)


fragments = st.sets(st.sampled_from([*DEBUG, "gcov", "x"]))


@given(
    st.lists(needs, unique_by=lambda need: need.test),
    st.booleans(),
    fragments,
    st.sets(st.sampled_from("abc")),
    st.sampled_from(["", "finished"]),
    st.dictionaries(st.just("p"), st.just("1")),
)
def test_no_test_is_lost_and_each_runs_where_its_needs_are_met(
    asked: list[Need], deep: bool, lacking: set[str], named: set[str], no_build: str, params: dict[str, str]
) -> None:
    planned = plan_variants(asked, Offer(deep, frozenset(lacking), EMULATED, frozenset(named), no_build, params))
    has: dict[str, set[str]] = {need.test: set() for need in asked}
    for place in (Variant("", planned.plain), *planned.variants):
        for test in place.tests:
            need = next(need for need in asked if need.test == test)
            has[test].add(place.name)
            assert set(need.kernel) & lacking <= set(place.fragments)
            assert set(need.gpu.items()) <= {**params, **place.params}.items()
            assert not need.deep or deep or need.suite in named
        assert not place.fragments or not no_build
    assert {test for test, places in has.items() if not places} == set(planned.left_out)
    assert all(planned.left_out.values())
    names = [variant.name for variant in planned.variants]
    assert len(names) == len(set(names))
    slots = [slot.name for slot in variant_slots(SIDES, names)]
    assert len(slots) == len(set(slots)) == 2 * len(names)
    assert all(len(slot) < LONGEST_SLUG + 12 and not set(slot) & set(" ,=/[]") for slot in slots)


def test_suites_say_what_they_need_without_a_boot(tmp_path: Path) -> None:
    file = tmp_path / "test_mine.py"
    file.write_text(
        "import pytest\n"
        "pytestmark = [pytest.mark.deep, pytest.mark.kernel('kasan'), pytest.mark.gpu('writeout.delay_ms=5')]\n"
        "@pytest.mark.gpu('writeout.delay_ms=7', 'tiler.chunks_per_job=1')\n"
        "@pytest.mark.kernel('kmemleak')\n"
        "@pytest.mark.board('emulated')\n"
        "def test_all(session): raise AssertionError('not to be run')\n"
        "def test_counted(iterate): pass\n"
    )
    first, second = survey([file])
    assert (first.test, first.deep, set(first.kernel), first.board) == (
        "mine::test_all",
        True,
        {"kasan", "kmemleak"},
        ("emulated",),
    )
    assert first.gpu == {"writeout.delay_ms": "7", "tiler.chunks_per_job": "1"}, "what stands nearer wins"
    assert (second.gpu, second.counted, first.counted) == ({"writeout.delay_ms": "5"}, True, False)
    assert decode(Need, json.loads(json.dumps(encode(first)))) == first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@pytest.mark.kernel('kasn')\ndef test_a(): pass", "did you mean kasan"),
        ("@pytest.mark.gpu('no.such=1')\ndef test_a(): pass", "gpu params"),
        ("@pytest.mark.gpu('tiler.chunks_per_job=x')\ndef test_a(): pass", "tiler.chunks_per_job"),
        ("@pytest.mark.kernel\ndef test_a(): pass", "pytest.mark.kernel"),
        ("@pytest.mark.kernel(5)\ndef test_a(): pass", "pytest.mark.kernel"),
        ("@pytest.mark.deep('long')\ndef test_a(): pass", "pytest.mark.deep"),
        ("@pytest.mark.dep\ndef test_a(): pass", "'dep'"),
        ("import no_such_module", "no_such_module"),
        ("x = 1", "no test"),
    ],
)
def test_a_suite_that_makes_no_sense_is_refused_before_anything_is_built(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(f"import pytest\n{text}\n")
    with pytest.raises(UsageError, match=r"(?s)test_mine|suite") as caught:
        survey([tmp_path / "test_mine.py"])
    assert said in f"{caught.value} {caught.value.hint}"


def planned_event(
    *names: str, plain: list[str] | None = None, left_out: dict[str, str] | None = None
) -> dict[str, Any]:
    variants = [encode(Variant(name, ("a::t",), DEBUG if name == "debug" else ())) for name in names]
    return {
        "event": "planned",
        "plain": ["a::t"] if plain is None else plain,
        "variants": variants,
        "left_out": left_out or {},
    }


def variant_boot(name: str, side: str, count: int, faulty: int, **changes: Any) -> list[dict[str, Any]]:
    slot = Slot(Side(side), 0, variant=name).name
    events = boot(side, 1, 1, count, faulty)
    for event in events:
        event |= {"boot": f"{slot}.1", "slot": slot}
        if event["event"] == "boot-start":
            event["variant"] = name
        if event["event"] == "iteration":
            event |= {"id": f"{slot}-{event['id']}", **changes}
        if event["event"] == "quota":
            event["side_total"] = count
    return events


def stray(boot_id: str, side: str, kind: str) -> dict[str, Any]:
    return {
        "event": "stray",
        "boot": boot_id,
        "slot": boot_id.partition(".")[0],
        "side": side,
        "finding": {"kind": kind, "signature": f"{kind}:x", "timestamp": 1.0},
        "marker": None,
        "expected": False,
    }


def test_a_variant_leaves_the_plain_numbers_alone() -> None:
    plain = judge([*whole(), END])
    events = [
        *whole(),
        planned_event("debug"),
        *variant_boot("debug", "before", 10, 3),
        *variant_boot("debug", "after", 10, 9),
        END,
    ]
    judged = judge(events)
    assert judged.verdict is plain.verdict is Verdict.FIXED
    assert (judged.before, judged.after, judged.p_fewer, judged.missable_rate) == (
        plain.before,
        plain.after,
        plain.p_fewer,
        plain.missable_rate,
    )
    assert [w.name for w in judged.workloads] == ["w", "w [debug]"]
    assert judged.workloads[0] == plain.workloads[0]
    assert judged.workloads[1].role == "watch"
    assert [(variant.name, variant.boots[Side.AFTER]) for variant in judged.variants] == [("debug", 1)]


@pytest.mark.parametrize("kind", ["lockdep", "kasan", "oops"])
def test_what_only_the_debug_kernel_sees_is_a_regression(kind: str) -> None:
    def run(*sides: str) -> Verdict:
        events = [
            *whole(),
            planned_event("debug"),
            *variant_boot("debug", "before", 10, 0),
            *variant_boot("debug", "after", 10, 0),
        ]
        events += [stray(f"{side}-debug-1.1", side, kind) for side in sides]
        verdict = judge([*events, END])
        assert ("[debug]" in verdict.reasons[0]) == (verdict.verdict is Verdict.REGRESSED), verdict.reasons
        return verdict.verdict

    assert run("after") is Verdict.REGRESSED
    assert run("before", "after") is Verdict.FIXED, "before has it, too"
    assert run("before") is Verdict.FIXED


def test_a_finding_of_the_plain_kernel_does_not_excuse_the_debug_kernel() -> None:
    events = [
        *whole(),
        stray("before1.1", "before", "kasan"),
        planned_event("debug"),
        *variant_boot("debug", "before", 10, 0),
        *variant_boot("debug", "after", 10, 0),
        stray("after-debug-1.1", "after", "kasan"),
        END,
    ]
    assert judge(events).verdict is Verdict.REGRESSED


def test_a_debug_kernel_that_could_not_be_tried_is_an_error_and_one_that_does_not_build_a_regression() -> None:
    never_ran = [*whole(), planned_event("debug"), END]
    assert judge(never_ran).verdict is Verdict.ERROR

    def failed(side: str) -> Verdict:
        told = {"event": "variant-failed", "variant": "debug", "side": side, "message": "panthor_sched.c:1: no"}
        return judge([*whole(), planned_event("debug"), told, END]).verdict

    assert failed("after") is Verdict.REGRESSED
    assert failed("before") is Verdict.ERROR
    own = {"event": "variant-kernel", "variant": "debug", "key": "k", "build_id": "b"}
    later = [{**own, "side": side} for side in Side]
    broken = {"event": "variant-failed", "variant": "debug", "side": "after", "message": "no"}
    good = [*variant_boot("debug", "before", 10, 0), *variant_boot("debug", "after", 10, 0)]
    mended = [*whole(), planned_event("debug"), broken, *later, *good, END]
    assert judge(mended).verdict is Verdict.FIXED, "the resumed run has built it"
    same = {"event": "variant-identical", "variant": "debug", "why": "same tokens"}
    assert judge([*whole(), planned_event("debug"), same, END]).verdict is Verdict.FIXED


def test_builds_that_differ_only_with_a_debug_option_are_judged_by_it() -> None:
    start = [START, *KERNELS, {"event": "identical", "why": "same tokens"}, planned_event("debug", plain=[])]
    good = [*start, *variant_boot("debug", "before", 10, 0), *variant_boot("debug", "after", 10, 0)]
    assert judge([*good, END]).verdict is Verdict.UNCHANGED
    assert judge([*good, stray("after-debug-1.1", "after", "lockdep"), END]).verdict is Verdict.REGRESSED


def test_where_no_test_runs_on_plain_kernels_the_variants_decide() -> None:
    def judged(expect: str, *more: dict[str, Any]) -> Verdict:
        start = {**START, "options": {**START["options"], "expect": expect}}
        return judge(
            [
                start,
                *KERNELS,
                planned_event("debug", plain=[]),
                *variant_boot("debug", "before", 10, 0),
                *variant_boot("debug", "after", 10, 0),
                *more,
                END,
            ]
        ).verdict

    assert judged("no-change") is Verdict.CLEAN
    assert judged("fix") is Verdict.INCONCLUSIVE
    assert judged("no-change", stray("after-debug-1.1", "after", "lockdep")) is Verdict.REGRESSED


def test_reports_name_the_flavour_and_what_did_not_run(tmp_path: Path) -> None:
    from panthorlab.report import console, html, json_report, junit, kcidb

    kernel = {"release": "6.12", "title": "t", "fragments": ["panthor"], "time": 1.0}
    kernels = [{**event, **kernel} for event in KERNELS]
    own = [{**event, "event": "variant-kernel", "variant": "debug", "key": f"d-{event['side']}"} for event in kernels]
    events = [
        START,
        *kernels,
        *whole()[3:],
        planned_event("debug", left_out={"b::rock": "is for boards that are rock-5b"}),
        *own,
        *variant_boot("debug", "before", 10, 0),
        *variant_boot("debug", "after", 10, 0),
        stray("after-debug-1.1", "after", "lockdep"),
        {**END, "time": 2.0},
    ]
    shown_run = report(tmp_path, events, judge(events))
    made = json_report.to_json(shown_run)
    assert made["variants"][0]["sides"]["after"] == {"kernel": "d-after", "build_id": "ab", "boots": 1}
    assert made["variants"][0]["verdict"] == "regressed"
    assert made["not_run"] == [{"test": "b::rock", "why": "is for boards that are rock-5b"}]
    assert [w["variant"] for w in made["workloads"]] == ["", "debug"]
    assert made["findings"][-1]["variant"] == "debug"
    text = console.render(shown_run)
    assert "[debug]" in text
    assert "1 test not run (b::rock): is for boards that are rock-5b" in text
    page = html.render(shown_run)
    assert "d-after" in page
    assert "b::rock" in page
    assert "b::rock" not in junit.render(shown_run).replace('name="rock"', "")
    assert "is for boards that are rock-5b" in junit.render(shown_run)
    builds = {build["id"]: build for build in kcidb.to_json(shown_run)["builds"]}
    assert len(builds) == 4
    tests = {test["path"]: test for test in kcidb.to_json(shown_run)["tests"] if "-after" in test["build_id"]}
    assert builds[tests["panthor.watch.w_debug"]["build_id"]]["misc"]["key"] == "d-after"
