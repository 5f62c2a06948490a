# SPDX-License-Identifier: GPL-2.0-or-later
"""The overlays that panthorlab can make by itself: which packages, and what of them a board needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SUITE = "trixie"
"""Debian's release that the packages come from: its Mesa knows Mali-G610 (25.0)."""
LIBRARIES = "/usr/lib/aarch64-linux-gnu"


@dataclass(frozen=True)
class Recipe:
    """`programs`: run on the board. `loaded`: shared objects that no program names, since they are loaded by name.
    `data`: files and directories, with all that is in them. `links`: what else leads to a program."""

    packages: tuple[str, ...]
    programs: tuple[str, ...]
    loaded: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    about: str = ""


_SHELL = "/usr/bin/busybox"
_APPLETS = (
    "sh", "cat", "date", "dmesg", "echo", "env", "false", "find", "free", "grep", "head", "kill", "killall", "ls",
    "mkdir", "mount", "ps", "rm", "seq", "sleep", "tail", "time", "timeout", "touch", "true",
)
_LINKS = tuple((f"/bin/{name}", _SHELL) for name in _APPLETS)

RECIPES: Mapping[str, Recipe] = {
    "shell": Recipe(("busybox-static",), (_SHELL,), links=_LINKS, about="busybox, with a shell at /bin/sh"),
    "mesa-vulkan": Recipe(
        ("busybox-static", "mesa-vulkan-drivers", "vulkan-tools", "vkmark"),
        (_SHELL, "/usr/bin/vulkaninfo", "/usr/bin/vkmark"),
        (f"{LIBRARIES}/libvulkan_panfrost.so", f"{LIBRARIES}/vkmark/headless.so"),
        ("/usr/share/vulkan/icd.d/panfrost_icd.json", "/usr/share/vkmark"), _LINKS,
        "Mesa's Vulkan driver (PanVK), vulkaninfo, vkmark --winsys headless",
    ),
}
