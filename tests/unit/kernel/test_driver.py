# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of drivers: what is copied from it elsewhere is the same, and a kernel has exactly one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from panthorlab.coverage.model import DRIVER as MEASURED
from panthorlab.errors import PanthorlabError, SourceError, UsageError
from panthorlab.gpu.fw import corpus
from panthorlab.kernel import driver, job, setting
from panthorlab.kernel.build import config, rust
from panthorlab.kernel.build.rust import Rust
from panthorlab.kernel.driver import DRIVERS, FEATURES, PANTHOR, TYR
from panthorlab.kmsg.patterns import DRIVERS as HEARD
from panthorlab.paths import PACKAGE

FRAGMENT = "CONFIG_DRM=y\nCONFIG_ARM64=y\nCONFIG_PCI=y\nCONFIG_MODULES=y\n"


def test_guest_programs_know_the_same_drivers() -> None:
    rows = re.findall(r'^\t\{ "(\w+)", (\d+), (true|false) \},$', (PACKAGE / "guest/drivers.h").read_text(), re.M)
    assert rows == [
        (each.name, str(each.interrupts), "true" if "groups" in each.features else "false") for each in DRIVERS
    ]


def test_others_know_the_same_drivers() -> None:
    assert f"{PANTHOR.directory}/" == MEASURED
    assert all(HEARD[each.name] == each.name for each in DRIVERS)
    assert {name for case in corpus.CASES for name in case.on} <= {each.name for each in DRIVERS}


def test_every_row_can_be_asked_for() -> None:
    for each in DRIVERS:
        assert each.features <= set(FEATURES)
        assert "probe" in each.features
        fragments = config.find_fragments(["panthor", "panthor-module", *each.fragments])
        assert driver.requested(config.read_fragments(fragments).values) is each
        assert driver.by_name(each.name) is each
        assert each.fix is None or each.fix.file.startswith(f"{each.directory}/")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"DRM_PANTHOR": "y"}, PANTHOR),
        ({"DRM_PANTHOR": "m", "DRM_TYR": None}, PANTHOR),
        ({"DRM_TYR": "m"}, TYR),
        ({}, "has no driver for the GPU"),
        ({"DRM_TYR": None}, "has no driver for the GPU"),
        ({"DRM_TYR": "y", "DRM_PANTHOR": "m"}, "has panthor and tyr, and the GPU takes one driver"),
    ],
)
def test_a_kernel_has_one(values: Mapping[str, str | None], found: driver.Driver | str) -> None:
    if not isinstance(found, str):
        assert driver.only(values, "it") is found
        return
    with pytest.raises(UsageError, match=found) as caught:
        driver.only(values, "it")
    assert "CONFIG_DRM_PANTHOR or CONFIG_DRM_TYR" in (caught.value.hint or "")


def test_both_must_not_be_asked_for() -> None:
    with pytest.raises(UsageError, match="asked for has panthor and tyr"):
        driver.requested({"DRM_PANTHOR": "y", "DRM_TYR": "y"})
    assert driver.requested({"EXPERT": "y"}) is PANTHOR


@pytest.mark.parametrize(
    ("row", "version", "old"),
    [
        (PANTHOR, "6.9.12", True),
        (PANTHOR, "6.10-rc1", False),
        (TYR, "6.17", True),
        (TYR, "6.18.5", False),
        (TYR, "7.0", False),
        (TYR, "next", False),
    ],
)
def test_too_old(row: driver.Driver, version: str, old: bool) -> None:
    assert row.too_old(version) is old


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rust:
    found = Rust(tmp_path / "rustc", tmp_path / "bindgen", "rustc 1.85.1; bindgen 0.71.1")
    monkeypatch.setattr(rust, "find_rust", lambda *_args, **_options: found)
    return found


@pytest.fixture
def tyr_tree(tree: Path) -> Path:
    """The tree of panthor with a Tyr beside it."""
    (tree / TYR.directory).mkdir(parents=True)
    (tree / TYR.directory / "Kconfig").write_text('config DRM_TYR\n\ttristate "Tyr"\n')
    return tree


def fragment(tmp_path: Path, *lines: str) -> list[str]:
    path = tmp_path / "own.config"
    path.write_text(FRAGMENT + "".join(f"{line}\n" for line in lines))
    return [str(path)]


def test_a_tree_without_it_is_refused(tree: Path, cache: Path, guest: Path, tmp_path: Path, compiler: Rust) -> None:
    names = [*fragment(tmp_path), "tyr"]
    told = r"is Linux 6\.12\.99, which has no tyr driver \(it came with 6\.18\)"
    with pytest.raises(SourceError, match=told) as caught:
        job.prepare_kernel(str(tree), fragments=names)
    assert "use 6.18 or newer" in (caught.value.hint or "")


@pytest.mark.parametrize("spec", ["debian:6.12.73", "kernel.org:6.17.2", "linux-source-6.12"])
def test_a_version_without_it_is_refused_before_anything_is_fetched(
    spec: str, cache: Path, guest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: Rust
) -> None:
    monkeypatch.setattr(setting, "resolve", lambda *_args, **_options: pytest.fail("asked for"))
    with pytest.raises(SourceError, match="which has no tyr driver"):
        job.prepare_kernel(spec, fragments=[*fragment(tmp_path), "tyr"])


def test_rust_is_a_part_of_the_key(tyr_tree: Path, cache: Path, guest: Path, tmp_path: Path, compiler: Rust) -> None:
    plain = job.prepare_kernel(str(tyr_tree), fragments=fragment(tmp_path, "CONFIG_DRM_PANTHOR=y"))
    other = job.prepare_kernel(str(tyr_tree), fragments=[*fragment(tmp_path), "tyr"])
    assert plain.toolchain.rust is None
    assert other.toolchain.rust is compiler
    assert other.toolchain.version == f"{plain.toolchain.version}; {compiler.version}"
    assert other.core_key != plain.core_key


def test_there_is_no_default_job(tyr_tree: Path, cache: Path, guest: Path, tmp_path: Path, compiler: Rust) -> None:
    with pytest.raises(UsageError, match="no default job for tyr") as caught:
        job.prepare_sides(str(tyr_tree), fragments=[*fragment(tmp_path), "tyr"])
    assert caught.value.hint == "name a patch"


@pytest.mark.parametrize("given", [None, "default"])
def test_its_default_base_is_one_that_has_it(
    given: str | None, cache: Path, guest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: Rust
) -> None:
    asked: list[str] = []

    def resolve(spec: str | None, _progress: object, *, look: bool, series: str) -> object:
        asked.append(series)
        raise UsageError("enough")

    monkeypatch.setattr(setting, "resolve", resolve)
    for names in (fragment(tmp_path, "CONFIG_DRM_PANTHOR=y"), [*fragment(tmp_path), "tyr"]):
        with pytest.raises(PanthorlabError, match="enough"):
            job.prepare_kernel(given, fragments=names)
    assert asked == [PANTHOR.series, TYR.series]
