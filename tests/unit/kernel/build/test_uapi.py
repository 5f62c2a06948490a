# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel headers as user space gets them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from panthorlab.kernel.build.uapi import install_drm_headers, user_header


@pytest.mark.parametrize(
    ("kernel", "user"),
    [
        ("\tchar __user *name;", "\tchar *name;"),
        ("#include <linux/compiler.h>\nint a;", "\nint a;"),
        ("#include <linux/compiler_types.h>\nint a;", "\nint a;"),
        ("struct x { int a; } __packed;", "struct x { int a; } __attribute__((packed));"),
        ("static inline int f(void)", "static __inline__ int f(void)"),
        ("#ifndef _UAPI_X_H", "#ifndef _X_H"),
        ("#ifndef __EXPORTED_HEADERS__\n#warning no\n#endif", "#if 0\n#warning no\n#endif"),
        ("#endif /* _UAPI_X_H */", "#endif /* _X_H */"),
        ("int my__packed_x;", "int my__packed_x;"),
    ],
)
def test_substitutions(kernel: str, user: str) -> None:
    assert user_header(f"{kernel}\n") == f"{user}\n"


def test_install_follows_includes(tree: Path, tmp_path: Path) -> None:
    uapi = tree / "include/uapi"
    (uapi / "linux").mkdir()
    (uapi / "drm/drm.h").write_text('#include <linux/bits.h>\n#include "drm_mode.h"\n#include <asm/ioctl.h>\n')
    (uapi / "drm/drm_mode.h").write_text("#include <linux/../../../../x.h>\n")
    (uapi / "linux/bits.h").write_text("#include <linux/const.h>\n#include <linux/bits.h>\n")
    (uapi / "linux/unused.h").touch()
    install_drm_headers(tree, tmp_path / "out")
    assert (tmp_path / "out/drm/panthor_drm.h").read_text() == "struct a { char *p; };\n"
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.h")}
    assert names == {"drm/drm.h", "drm/drm_mode.h", "drm/panthor_drm.h", "linux/bits.h"}


def test_headers_are_no_way_to_what_the_build_may_not_see(tree: Path, tmp_path: Path) -> None:
    """We copy them into the jail; a link among them would be read as us."""
    (tmp_path / "key").write_text("the key\n")
    uapi = tree / "include/uapi"
    (uapi / "drm/stolen.h").symlink_to(tmp_path / "key")
    (uapi / "other").symlink_to(tmp_path)
    (uapi / "drm/drm.h").write_text("#include <other/key>\n#include <drm/pipe.h>\n")
    os.mkfifo(uapi / "drm/pipe.h")
    install_drm_headers(tree, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()} == {"drm.h", "panthor_drm.h"}
