# SPDX-License-Identifier: GPL-2.0-or-later
"""Fragments, Kconfig, and that no option is lost in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.arch import ARM64
from panthorlab.errors import ConfigError, UsageError
from panthorlab.kernel.build import config, kconfig

KCONFIG = """\
mainmenu "Linux"
menu "First"
\tdepends on HAS_IOMEM
config FOO
\tbool "Foo" if EXPERT
\tdepends on BAR && (BAZ=y || \\
\t\tQUX)
\tselect LIB
\thelp
\t  config IN_HELP
\t  depends on nothing

endmenu
if BAR
config SMALL
\ttristate "Small"
\tdepends on m
source "sub/Kconfig"
endif
config LIB
\tbool
config BAR
\tbool "Bar"
source "arch/$(SRCARCH)/Kconfig"
choice
\tprompt "One of"
config ONE
\tbool "One"
endchoice
"""


@pytest.fixture
def symbols(tmp_path: Path) -> dict[str, kconfig.Symbol]:
    (tmp_path / "Kconfig").write_text(KCONFIG)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/Kconfig").write_text('config SUB\n\tint "Sub"\n')
    (tmp_path / "arch/arm64").mkdir(parents=True)
    (tmp_path / "arch/arm64/Kconfig").write_text("config HAS_IOMEM\n\tdef_bool y\nconfig BAR\n\tdefault y if ARM64\n")
    return kconfig.read_symbols(tmp_path, "arm64")


def test_a_hostile_tree_has_no_file_read_through_a_link_nor_for_ever(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("config SECRET\n\tbool\n")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(tmp_path / "outside")
    (tree / "Kconfig").write_text(
        f'source "link"\nsource "../outside"\nsource "{tmp_path}/outside"\nsource "0"\nconfig OWN\n\tbool\n'
    )
    for number in range(3000):
        (tree / str(number)).write_text(2 * f'source "{number + 1}"\n')
    assert set(kconfig.read_symbols(tree, "arm64")) == {"OWN"}


def test_symbols_with_all_conditions_around_them(symbols: dict[str, kconfig.Symbol]) -> None:
    assert set(symbols) == {"FOO", "SMALL", "SUB", "LIB", "BAR", "HAS_IOMEM", "ONE"}
    assert symbols["FOO"].depends == [["HAS_IOMEM", "BAR && (BAZ=y || \t\tQUX)".expandtabs()]] or (
        symbols["FOO"].depends[0][1].replace(" ", "").replace("\t", "") == "BAR&&(BAZ=y||QUX)"
    )
    assert symbols["FOO"].where == "Kconfig:4"
    assert symbols["SUB"].depends == [["BAR"]]
    assert symbols["SMALL"].depends == [["BAR", "m"]]
    assert symbols["LIB"].selected_by == ["FOO"]
    assert not symbols["LIB"].prompt
    assert len(symbols["BAR"].depends) == 2


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("A", "y"),
        ("M", "m"),
        ("N", "n"),
        ("UNKNOWN", "n"),
        ("!N", "y"),
        ("!A", "n"),
        ("!M", "m"),
        ("A && M", "m"),
        ("N || M", "m"),
        ("A && (N || M)", "m"),
        ("!(A && N)", "y"),
        ("A=y", "y"),
        ("M!=y", "y"),
        ('S="x y"', "y"),
        ("NUM > 3", "y"),
        ("NUM >= 0x10", "n"),
        ("N || A && N", "n"),
        ("A || N && N", "y"),
        ("", "n"),
        ("A A", "n"),
    ],
)
def test_three_valued_logic(expression: str, value: str) -> None:
    values = {"A": "y", "M": "m", "S": '"x y"', "NUM": "8"}
    assert kconfig.evaluate(expression, values) == value


@given(st.text(alphabet="AMN()!&|= ", max_size=24))
def test_any_expression_has_a_value(expression: str) -> None:
    assert kconfig.evaluate(expression, {"A": "y", "M": "m"}) in ("y", "m", "n")


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("FOO", {"HAS_IOMEM": "y"}, "BAR=n"),
        ("LIB", {}, "cannot be set by hand"),
        ("LIB", {}, "selected by FOO"),
        ("NONE", {}, "no such option"),
        ("SUB", {"BAR": "y"}, "dependencies are met"),
        ("BAR", {"HAS_IOMEM": "y"}, "dependencies are met"),
    ],
)
def test_why_an_option_was_lost(
    symbols: dict[str, kconfig.Symbol], name: str, values: dict[str, str], said: str
) -> None:
    assert said in kconfig.why_lost(name, symbols, values)


FRAGMENT = """\
# a comment
CONFIG_BAR=y
# CONFIG_FOO is not set
CONFIG_SUB=-3
CONFIG_NAME="a \\"b\\" c"
#? CONFIG_GONE=y
#! dtb rockchip/rk3588-rock-5b.dtb
CONFIG_ONE=n

"""


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_fragment(tmp_path: Path) -> None:
    request = config.read_fragments([write(tmp_path, "a.config", FRAGMENT)])
    assert [(option.name, option.value, option.optional, option.line) for option in request.options] == [
        ("BAR", "y", False, 2),
        ("FOO", None, False, 3),
        ("SUB", "-3", False, 4),
        ("NAME", '"a \\"b\\" c"', False, 5),
        ("GONE", "y", True, 6),
        ("ONE", None, False, 8),
    ]
    assert request.dtbs == ("rockchip/rk3588-rock-5b.dtb",)


def test_device_trees_that_only_some_kernels_have(tmp_path: Path) -> None:
    text = "#! dtb v/must.dtb\n#? dtb v/here.dtb\n#? dtb v/gone.dtb\n#? dtb v/must.dtb\nCONFIG_A=y\n"
    fragment = write(tmp_path, "a", text)
    request = config.read_fragments([fragment])
    assert (request.dtbs, request.optional_dtbs) == (("v/must.dtb",), ("v/here.dtb", "v/gone.dtb"))
    folder = tmp_path / "arch/arm64/boot/dts/v"
    folder.mkdir(parents=True)
    (folder / "here.dts").touch()
    assert config.device_trees(request, tmp_path, ARM64) == ("v/must.dtb", "v/here.dtb")
    without = write(tmp_path, "b", text.replace("#? dtb v/gone.dtb\n", ""))
    assert config.fragments_key([fragment]) != config.fragments_key([without])


def test_debug_information_of_a_directory_is_no_matter_of_the_config(tmp_path: Path) -> None:
    plain = write(tmp_path, "plain", "CONFIG_A=y\n")
    first = write(tmp_path, "first", "#! debug-info drivers/gpu/drm/panthor\nCONFIG_A=y\n")
    second = write(tmp_path, "second", "#! debug-info lib\n#! debug-info drivers/gpu/drm/panthor\n")
    assert config.debug_info([plain]) == ()
    assert config.debug_info([first, second]) == ("drivers/gpu/drm/panthor/", "lib/")
    assert config.fragments_key([first]) == config.fragments_key([plain])
    assert config.debug_info(config.find_fragments(["coverage"])) == ("drivers/gpu/drm/panthor/",)
    assert config.read_fragments(config.find_fragments(["coverage"])).options == ()


def test_directories_that_count_for_gcov(tmp_path: Path) -> None:
    mixed = write(tmp_path, "mixed", "#! debug-info lib\n#! profile drivers/gpu/drm/panthor\nCONFIG_A=y\n")
    assert config.profiled([mixed]) == ("drivers/gpu/drm/panthor/",)
    assert config.debug_info([mixed]) == ("lib/",)
    gcov = config.find_fragments(["gcov"])
    assert config.profiled(gcov) == ("drivers/gpu/drm/panthor/",)
    assert config.read_fragments(gcov).values["GCOV_KERNEL"] == "y"


def test_later_fragments_override(tmp_path: Path) -> None:
    first, second = write(tmp_path, "a", "CONFIG_BAR=y\n"), write(tmp_path, "b", "# CONFIG_BAR is not set\n")
    assert [option.value for option in config.read_fragments([first, second]).options] == [None]
    assert config.fragments_key([first, second]) != config.fragments_key([second, first])


def test_comments_do_not_change_the_key(tmp_path: Path) -> None:
    first, second = write(tmp_path, "a", "CONFIG_BAR=y\n"), write(tmp_path, "b", "# hello\n\nCONFIG_BAR=y\n")
    assert config.fragments_key([first]) == config.fragments_key([second])


@pytest.mark.parametrize(
    "line",
    [
        "CONFIG_X",
        "CONFIG_X=",
        "CONFIG_X=yes",
        "X=y",
        'CONFIG_X="a',
        "#? something",
        "#! dtb ../../x.dtb",
        "#! make x",
        "#? dtb x",
        "CONFIG_X=$(rm -rf /)",
        "#! debug-info ../x",
        "#! debug-info /x",
        "#! debug-info x) $(shell y",
        "#? debug-info lib",
    ],
)
def test_lines_that_are_no_config_name_file_and_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"bad\.config:2: not a config line"):
        config.read_fragments([write(tmp_path, "bad.config", f"CONFIG_A=y\n{line}\n")])


def test_unknown_fragment_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="no such config fragment: kassan") as caught:
        config.find_fragments(["kassan"])
    assert caught.value.hint == "did you mean kasan?"


def test_result_is_checked(tmp_path: Path, symbols: dict[str, kconfig.Symbol]) -> None:
    text = "CONFIG_FOO=y\nCONFIG_BAR=y\nCONFIG_BAA=y\n# CONFIG_ONE is not set\nCONFIG_SUB=3\n"
    request = config.read_fragments([write(tmp_path, "want.config", text)])
    result = "CONFIG_BAR=y\nCONFIG_ONE=y\nCONFIG_SUB=3\nCONFIG_HAS_IOMEM=y\n# CONFIG_FOO is not set\n"
    with pytest.raises(ConfigError, match=r"want\.config:1: Linux 6\.12") as caught:
        config.check_result(request, result, symbols, "6.12")
    message = str(caught.value)
    assert "CONFIG_FOO=y (want.config:1) became not set: depends on" in message
    assert "BAZ=n" in message
    assert "CONFIG_BAA=y (want.config:3) became not set: this tree has no such option; did you mean " in message
    assert "# CONFIG_ONE is not set (want.config:4) became CONFIG_ONE=y" in message
    assert "CONFIG_SUB" not in message


def test_a_result_as_asked_for_is_accepted(tmp_path: Path, symbols: dict[str, kconfig.Symbol]) -> None:
    text = "CONFIG_BAR=y\n#? CONFIG_GONE=y\n#? CONFIG_ONE=y\n"
    request = config.read_fragments([write(tmp_path, "want.config", text)])
    config.check_result(request, "CONFIG_BAR=y\nCONFIG_ONE=y\n", symbols, "6.12")
    assert config.allconfig(request, symbols) == "CONFIG_BAR=y\nCONFIG_ONE=y\n"
    with pytest.raises(ConfigError, match="CONFIG_ONE=y"):
        config.check_result(request, "CONFIG_BAR=y\n", symbols, "6.12")


SHIPPED = (
    "panthor qemu-virt rk3588 kasan prove-locking kmemleak atomic-sleep panthor-module tyr huge-pages failslab swap"
)


@pytest.mark.parametrize("name", SHIPPED.split())
def test_shipped_fragments_can_be_read(name: str) -> None:
    assert config.read_fragments(config.find_fragments([name])).options
