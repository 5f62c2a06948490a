# SPDX-License-Identifier: GPL-2.0-or-later
"""The user-space API headers of a tree, as `make headers_install` leaves them, without needing a configured tree.

Only what <drm/….h> includes, directly or not; `asm/` and libc come with the cross compiler.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from panthorlab.kernel.jail import inside

UAPI = "include/uapi"

# The substitutions of scripts/headers_install.sh (6.12), and what it has unifdef do for __EXPORTED_HEADERS__;
# `#ifdef __KERNEL__` parts are left: user space skips them.
_RULES = tuple(
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"^#ifndef __EXPORTED_HEADERS__$", "#if 0"),
        (r"([\s(])(?:__user|__force|__iomem)\s", r"\1"),
        (r"__attribute_const__(\s|$)", r"\1"),
        (r"^#include <linux/compiler(?:_types)?\.h>", ""),
        (r"(^|[^a-zA-Z0-9])__packed([^a-zA-Z0-9_]|$)", r"\1__attribute__((packed))\2"),
        (r"(^|[ \t(])(inline|asm|volatile)([ \t(]|$)", r"\1__\2__\3"),
        (r"#(ifndef|define|endif[ \t]*/[*])[ \t]*_UAPI", r"#\1 "),
    )
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:<([\w./-]+)>|"([\w./-]+)")', re.MULTILINE)


def user_header(text: str) -> str:
    """A header of include/uapi as user space includes it."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def install_drm_headers(tree: Path, into: Path) -> None:
    """Write `into/drm/*.h` and every header of the tree's include/uapi that those include."""
    root = tree.resolve() / UAPI
    # A link would be followed with our rights, and the build would get files that it must not see.
    install({path.name for path in (root / "drm").glob("*.h")}, lambda name: inside.read(root, name), into)


def install(drm: Iterable[str], read: Callable[[str], bytes | None], into: Path) -> None:
    """Write `into/drm/…` for these names, and every header that those include. `read`: of include/uapi."""
    waiting = [f"drm/{name}" for name in drm]
    done: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in done or ".." in name:
            continue
        done.add(name)
        if (header := read(name)) is None:
            continue
        text = user_header(header.decode(errors="replace"))
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        folder = name.rpartition("/")[0]
        waiting += [match[1] or f"{folder}/{match[2]}" for match in _INCLUDE.finditer(text)]
