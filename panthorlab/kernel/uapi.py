# SPDX-License-Identifier: GPL-2.0-or-later
"""The user-space API headers of a tree, as `make headers_install` leaves them, without needing a configured tree."""

from __future__ import annotations

import re
from pathlib import Path

# The substitutions of scripts/headers_install.sh (6.12). `#ifdef __KERNEL__` parts are left: user space skips them.
_RULES = tuple((re.compile(pattern, re.MULTILINE), replacement) for pattern, replacement in (
    (r"([\s(])(?:__user|__force|__iomem)\s", r"\1"),
    (r"__attribute_const__(\s|$)", r"\1"),
    (r"^#include <linux/compiler\.h>", ""),
    (r"(^|[^a-zA-Z0-9])__packed([^a-zA-Z0-9_]|$)", r"\1__attribute__((packed))\2"),
    (r"(^|[ \t(])(inline|asm|volatile)([ \t(]|$)", r"\1__\2__\3"),
    (r"#(ifndef|define|endif[ \t]*/[*])[ \t]*_UAPI", r"#\1 "),
))


def user_header(text: str) -> str:
    """A header of include/uapi as user space includes it."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def install_drm_headers(tree: Path, into: Path) -> None:
    """Write `into/drm/*.h` from the tree's include/uapi/drm; the other headers come with the compiler."""
    target = into / "drm"
    target.mkdir(parents=True, exist_ok=True)
    for header in (tree / "include/uapi/drm").glob("*.h"):
        (target / header.name).write_text(user_header(header.read_text(errors="replace")))
