# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches and mails in the odd shapes people send: each is what git makes of it, or refused by the right sentence.

`am` and `apply`: real git gives the same files. `ours`: what git cannot read, or would read otherwise.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.fit import check
from panthorlab.kernel.patch.read import read_all
from panthorlab.kernel.patch.report import Fit

DATA = Path(__file__).parents[3] / "data" / "patches"
D = "drivers/gpu/drm/panthor"
SCHED, DRV, GPU, HEAP = (f"{D}/panthor_{name}.c" for name in ("sched", "drv", "gpu", "heap"))
BINDING = "Documentation/devicetree/bindings/gpu/arm,mali-valhall-csf.yaml"
DTSI = "arch/arm64/boot/dts/rockchip/rk3588-base.dtsi"

# The lines that the patches touch, where they are in Linux 6.12.117.
LINES = {
    SCHED: (
        2692,
        "\t * ensure that any pending tick_work() has been completed.\n\t */\n"
        "\tflush_work(&ptdev->scheduler->tick_work.work);\n}\n\n"
        "void panthor_sched_resume(struct panthor_device *ptdev)\n{\n\t/* resume */\n}\n",
    ),
    DRV: (
        1511,
        '\nMODULE_AUTHOR("Panthor Project Developers");\nMODULE_DESCRIPTION("Panthor DRM Driver");\n'
        'MODULE_LICENSE("Dual MIT/GPL");\n',
    ),
    GPU: (
        1,
        "// SPDX-License-Identifier: GPL-2.0 or MIT\n"
        "/* Copyright 2018 Marty E. Plummer <hanetzer@startmail.com> */\n"
        "/* Copyright 2019 Linaro, Ltd., Rob Herring <robh@kernel.org> */\nint gpu;\n",
    ),
    HEAP: (1, "int heap;\n"),
    f"{D}/Makefile": (
        7,
        "\tpanthor_fw.o \\\n\tpanthor_gem.o \\\n\tpanthor_gpu.o \\\n\tpanthor_heap.o \\\n"
        "\tpanthor_mmu.o \\\n\tpanthor_sched.o\n\n",
    ),
    "Makefile": (
        1,
        "# SPDX-License-Identifier: GPL-2.0\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION =\n",
    ),
    BINDING: (145, "    };\n\n...\n"),
    DTSI: (2912, '};\n\n#include "rk3588-base-pinctrl.dtsi"\n'),
}

APPLIES = {
    "PATCHv1v2.mbox": ("ours", ["drm/panthor: one"]),
    "RFC-nover.mbox": ("ours", ["drm/panthor: one", "drm/panthor: two"]),
    "attach-inline-both.eml": ("ours", ["drm/panthor: inline and attached"]),
    "b64-latin1.eml": ("am", ["drm/panthor: b64 latin1"]),
    "copy.patch": ("apply", ["copy.patch"]),
    "crlf-bodyonly.eml": ("am", ["drm/panthor: one"]),
    "doc.patch": ("apply", ["doc.patch"]),
    "dts-rk3588-base.dtsi.patch": ("apply", ["dts-rk3588-base.dtsi.patch"]),
    "fixup-after.mbox": ("ours", ["drm/panthor: uno"]),
    "flowed.eml": ("ours", ["drm/panthor: flowed"]),
    "fwd.mbox": ("am", ["drm/panthor: one"]),
    "gitdiff-color.patch": ("apply", ["gitdiff-color.patch"]),
    "hostile-ansi.eml": ("am", ["red <script>alert(1)</script> & gnp.exe ]]> "]),
    "hostile-fold.eml": ("am", ["drm/panthor: a long folded subject"]),
    "listprefix-reply.mbox": ("ours", ["drm/panthor: one"]),
    "makefile-exec.patch": ("apply", ["makefile-exec.patch"]),
    "other-lang-reply.mbox": ("ours", ["drm/panthor: one"]),
    "pgp.eml": ("ours", ["drm/panthor: pgp"]),
    "qp.eml": ("am", ["drm/panthor: é"]),
    "rename.patch": ("apply", ["rename.patch"]),
    "rfc.eml": ("am", ["drm/panthor: one"]),
    "strip-abs.patch": ("ours", ["strip-abs.patch"]),
    "strip-p0.patch": ("ours", ["strip-p0.patch"]),
    "threadpad.mbox": ("ours", ["drm/panthor: one", "drm/panthor: two"]),
    "v1v2-retitled.mbox": ("ours", ["drm/panthor: one and two"]),
}
ONE = (SCHED, '\tpr_debug("one\\n");\n')
# What those of them leave that git does not read, or would read otherwise: added lines, by file.
ADDED = (
    dict.fromkeys(
        (
            "attach-inline-both.eml",
            "flowed.eml",
            "listprefix-reply.mbox",
            "other-lang-reply.mbox",
            "pgp.eml",
            "strip-abs.patch",
            "strip-p0.patch",
        ),
        ONE,
    )
    | dict.fromkeys(
        ("RFC-nover.mbox", "threadpad.mbox", "v1v2-retitled.mbox"), (SCHED, ONE[1] + '\tpr_debug("two\\n");\n')
    )
    | {"PATCHv1v2.mbox": (DRV, "/* c */\n"), "fixup-after.mbox": (GPU, "/* z */\n")}
)

TOLD = {
    "PATCHv1v2.mbox": "has v1 and v2: v2 is taken",
    "fixup-after.mbox": "v1 and v3: v3 is taken",
    "v1v2-retitled.mbox": "left out: v1 “drm/panthor: one”",
    "listprefix-reply.mbox": "left out: the diff in a reply",
    "other-lang-reply.mbox": "left out: the diff in a reply",
    "pgp.eml": "signature was not checked",
    "gitdiff-color.patch": "colours",
    "fwd.mbox": "forwarded",
}

REFUSED = {
    "basecommit.eml": "hunk 1 of 1 does not fit",
    "hostile-nul.eml": "NUL bytes",
    "mode.patch": "only the modes of files",
    "nocontext.patch": "no context to find its place",
    "only-2of2.eml": "1/2 is missing",
    "signoff-diff-in-msg.eml": "in its commit message",
    "tabs-to-spaces.patch": "only in white space",
    "trunc-added.patch": "in the middle of a line",
    "trunc.patch": "in the middle of a line",
    "utf16.patch": "UTF-16",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name, (line, text) in LINES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"// line {number}\n" for number in range(1, line)) + text)
    _git(root, "init", "-q")
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", "base")
    return root


@pytest.fixture
def clean(tree: Path) -> Iterator[Path]:
    yield tree
    subprocess.run(["git", "-C", str(tree), "am", "--abort"], capture_output=True, check=False, timeout=60)
    _git(tree, "reset", "-q", "--hard", _git(tree, "rev-list", "--max-parents=0", "HEAD").strip())
    _git(tree, "clean", "-fdq")


def _git(root: Path, *args: str) -> str:
    argv = ["git", "-C", str(root), "-c", "user.name=T", "-c", "user.email=t@example.org", *args]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in root.rglob("*")
        if file.is_file() and ".git" not in file.relative_to(root).parts
    }


def _ours(name: str, root: Path) -> tuple[dict[str, bytes], list[str], str]:
    """The files as the patches leave them, their titles, and what is told. Raises PatchError if they do not fit."""
    files = _files(root)
    intake = read_all([str(DATA / name)])
    for patch in intake.patches:
        report = check(patch, files.get, "the tree")
        if report.fit not in (Fit.APPLIES, Fit.APPLIES_INEXACTLY):
            raise PatchError(report.summary)
        for path, content in report.changes.items():
            files.pop(path, None)
            files |= {path: content} if content is not None else {}
    return files, [patch.title for patch in intake.patches], " ".join(intake.notes)


def test_no_case_is_left_out() -> None:
    assert {file.name for file in DATA.iterdir()} == set(APPLIES) | set(REFUSED)


@pytest.mark.parametrize("name", APPLIES)
def test_what_applies(name: str, clean: Path) -> None:
    before = _files(clean)
    files, titles, told = _ours(name, clean)
    tool, wanted = APPLIES[name]
    assert titles == wanted
    assert TOLD.get(name, "") in told
    assert name in TOLD or not told
    if tool == "ours":
        path, added = ADDED[name]
        assert set(before) == set(files)
        assert [each for each in files if files[each] != before[each]] == [path]
        assert files[path].decode().replace(added, "", 1) == before[path].decode()
    else:
        _git(clean, tool, str(DATA / name))
        assert _files(clean) == files


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, tree: Path) -> None:
    with pytest.raises(PatchError, match=REFUSED[name]):
        _ours(name, tree)


@pytest.mark.parametrize(("version", "path"), [(1, SCHED), (3, GPU)])
def test_the_version_may_be_chosen(version: int, path: str, tree: Path) -> None:
    intake = read_all([str(DATA / "fixup-after.mbox")], version=version)
    assert intake.series[0].version == version
    assert f"b/{path}" in intake.patches[0].text
    with pytest.raises(PatchError, match="no version 2") as caught:
        read_all([str(DATA / "fixup-after.mbox")], version=2)
    assert "v1 and v3" in (caught.value.hint or "")
