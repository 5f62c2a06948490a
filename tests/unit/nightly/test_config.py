# SPDX-License-Identifier: GPL-2.0-or-later
"""nightly.yaml: what is wrong is said with its place, and whatever is taken for a branch is one to git, too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from panthorlab.errors import ConfigError
from panthorlab.nightly.config import NightlyFile, read_config
from panthorlab.nightly.plan import in_turn, plan_of

TREE = "trees:\n  - name: drm\n    url: /srv/drm.git\n    branches: [drm-next]\n"


def read(folder: Path, text: str | bytes) -> NightlyFile:
    file = folder / "nightly.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_config(file)


def test_little_is_needed(tmp_path: Path) -> None:
    plan = plan_of(read(tmp_path, TREE), tmp_path)
    assert [kernel.name for kernel in plan.kernels] == ["drm/drm-next/plain"]
    assert plan.state == tmp_path / "nightly.state"
    assert plan.budget is None


@pytest.mark.parametrize(
    ("more", "place", "said"),
    [
        ("bugdet: 5h\n", ":5:1:", "did you mean `budget`?"),
        ("budget: 5 hours\n", ":5:9:", "is no time"),
        ("boots: 1\n", ":5:8:", "greater than or equal to 2"),
        ("time: exactly\n", ":5:7:", "'exact' or 'host'"),
        ("kernels:\n  - name: a\n  - name: a\n", ":1:1:", "two kernels are called `a`"),
        ("known: list.txt\n", ":5:8:", "valid list"),
        ("budget: 1h\nbudget: 2h\n", ":6:1:", "given twice"),
        ("suites: [\n", ":6:1:", "not valid YAML"),
    ],
)
def test_errors_have_their_place(tmp_path: Path, more: str, place: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, TREE + more)
    told = f"{refused.value} {refused.value.hint}"
    assert f"nightly.yaml{place}" in told
    assert said in told


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch%20x",
        "http://example.org/linux.git",
        "https://user:secret@example.org/linux.git",
        "https://example.org/linux.git --mirror",
        "example.org:linux.git",
        "",
    ],
)
def test_an_address_runs_nothing_and_has_no_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"nightly\.yaml:3:10: `trees\.0\.url`"):
        read(tmp_path, TREE.replace("/srv/drm.git", json.dumps(url)))


@pytest.mark.parametrize(
    "url", ["https://example.org/linux.git", "git@example.org:linux.git", "ssh://git@example.org/a", "../linux", "/a"]
)
def test_addresses(tmp_path: Path, url: str) -> None:
    config = read(tmp_path, yaml.safe_dump({"trees": [{"name": "a", "url": url, "branches": ["b"]}]}))
    (kernel,) = plan_of(config, tmp_path).kernels
    assert kernel.url == (str(tmp_path.parent / "linux") if url == "../linux" else url)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab/.-_~^:@{\\ *+,=[?lock", min_size=1, max_size=12))
def test_what_is_taken_for_a_branch_git_takes_for_one(tmp_path_factory: pytest.TempPathFactory, branch: str) -> None:
    folder = tmp_path_factory.mktemp("branch")
    try:
        config = read(folder, yaml.safe_dump({"trees": [{"name": "a", "url": "/a", "branches": [branch]}]}))
    except ConfigError:
        return
    assert config.trees[0].branches == [branch]
    done = subprocess.run(["git", "check-ref-format", "--branch", branch], capture_output=True, check=False)
    assert done.returncode == 0, branch
    (kernel,) = plan_of(config, folder).kernels
    inside = (folder / kernel.folder).resolve()
    assert inside.parent == folder.resolve()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_whatever_is_in_the_file_is_an_error_with_its_name(
    tmp_path_factory: pytest.TempPathFactory, text: str | bytes
) -> None:
    with pytest.raises(ConfigError, match=r"nightly\.yaml"):
        read(tmp_path_factory.mktemp("any"), text.encode(errors="surrogatepass") if isinstance(text, str) else text)


def test_kernels_are_branches_in_every_config_with_boards_of_their_own(tmp_path: Path) -> None:
    text = TREE.replace("[drm-next]", "[drm-next, fixes/now]")
    text += "kernels:\n  - {name: plain}\n  - {name: kasan, config: [kasan, ./my.config], boards: [mine.yaml]}\n"
    plan = plan_of(read(tmp_path, text), tmp_path)
    assert [kernel.name for kernel in plan.kernels] == [
        "drm/drm-next/plain", "drm/drm-next/kasan", "drm/fixes/now/plain", "drm/fixes/now/kasan",
    ]  # fmt: skip
    assert plan.kernels[1].fragments == ("kasan", str(tmp_path / "my.config"))
    assert plan.kernels[1].boards == (str(tmp_path / "mine.yaml"),)
    assert len({kernel.folder for kernel in plan.kernels}) == 4
    assert plan.kernels[0].asked != plan.kernels[1].asked
    assert plan.kernels[0].asked == plan.kernels[2].asked


def test_a_budget_asks_for_no_other_night_and_iterations_do(tmp_path: Path) -> None:
    asked = [plan_of(read(tmp_path, TREE + more), tmp_path).kernels[0].asked for more in ("", "budget: 1h\n")]
    assert asked[0] == asked[1]
    assert plan_of(read(tmp_path, TREE + "iterations: 3\n"), tmp_path).kernels[0].asked != asked[0]


def test_what_was_judged_longest_ago_comes_first(tmp_path: Path) -> None:
    plan = plan_of(read(tmp_path, TREE.replace("[drm-next]", "[a, b, c]")), tmp_path)
    judged = {"drm/a/plain": "20260102-000000", "drm/c/plain": "20260101-000000"}
    assert [kernel.branch for kernel in in_turn(plan.kernels, judged)] == ["b", "c", "a"]
