# SPDX-License-Identifier: GPL-2.0-or-later
"""The overlays that panthorlab can make: from which packages, and which of their files a board needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from panthorlab.arch import DEFAULT

SUITE = "trixie"
"""Default Debian release of packages: its Mesa (25.0) supports Mali-G610."""
BOARD = DEFAULT.debian
"""Debian's name of the boards' architecture."""
LIBRARIES = {BOARD: DEFAULT.libraries, "amd64": "/usr/lib/x86_64-linux-gnu"}
"""Directory of shared objects by Debian architecture. amd64 is for programs that box64 interprets on a board."""
_ARM64, _AMD64 = LIBRARIES[BOARD], LIBRARIES["amd64"]


@dataclass(frozen=True)
class OwnProgram:
    """A program of ours: its path on the board, its C source (beside this file, as are the files `NAME-*` that are
    called after it and belong to it), and the shared objects of the packages that it is linked with."""

    path: str
    source: str
    libraries: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """The files wanted from some packages of one suite and architecture.

    `programs`: run on the board; `built`: those of them that no package has. `loaded`: shared objects that programs
    dlopen() instead of linking with them. `data`: files and directories, recursively. `elsewhere`: shared objects that
    the board gets in another way."""

    packages: tuple[str, ...]
    programs: tuple[str, ...]
    loaded: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    suite: str = SUITE
    architecture: str = BOARD
    elsewhere: tuple[str, ...] = ()
    built: tuple[OwnProgram, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """`links`: further names of programs. `scripts`: path and text. `tells`: paths whose presence on a board shows a
    suite that needs this overlay that its contents are there, wherever they came from."""

    parts: tuple[Part, ...]
    links: tuple[tuple[str, str], ...] = ()
    scripts: tuple[tuple[str, str], ...] = ()
    tells: tuple[str, ...] = ()
    about: str = ""

    @property
    def packages(self) -> tuple[str, ...]:
        return tuple(package for part in self.parts for package in part.packages)


_SHELL = "/usr/bin/busybox"
_APPLETS = (
    "sh",
    "cat",
    "date",
    "dmesg",
    "echo",
    "env",
    "false",
    "find",
    "free",
    "grep",
    "head",
    "kill",
    "killall",
    "ls",
    "mkdir",
    "mount",
    "ps",
    "rm",
    "seq",
    "sleep",
    "tail",
    "time",
    "timeout",
    "touch",
    "true",
)
_LINKS = tuple((f"/bin/{name}", _SHELL) for name in _APPLETS)
_EGLINFO = f"/usr/bin/eglinfo.{DEFAULT.triplet}"

GGML_TEST = f"/usr/libexec/{DEFAULT.triplet}/ggml/test-backend-ops"
IGT = "/usr/libexec/igt-gpu-tools"
_IGT_PROGRAMS = (
    "panthor/panthor_gem",
    "panthor/panthor_group",
    "panthor/panthor_query",
    "panthor/panthor_vm",
    "core_auth",
    "core_debugfs",
    "core_getclient",
    "core_getstats",
    "core_getversion",
    "core_hotunplug",
    "core_setmaster",
    "core_setmaster_vs_auth",
    "core_sysfs",
    "sw_sync",
    "syncobj_basic",
    "syncobj_eventfd",
    "syncobj_timeline",
    "syncobj_wait",
)
# Libraries that box64 replaces by native ones: it wraps libc and these completely, the others only in part.
_NATIVE = ("libglib-2.0.so.0", "libpci.so.3")
_NATIVE_LIBC = ("libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2")
_BOX64 = f"""#!/bin/sh
# Debian has IGT for amd64 alone. box64 interprets it, since translating costs more than it brings where the processor
# is emulated itself; ioctls go to the kernel as they are: both architectures lay out the structures alike.
program={IGT}/${{0#/igt/}}
for library in {_AMD64}/*.so.*; do libraries="$libraries:${{library##*/}}"; done
export BOX64_DYNAREC=0 BOX64_LOG=0 BOX64_NOBANNER=1 BOX64_NORCFILES=1
export BOX64_SYSINFO_CACHED=1 BOX64_SYSINFO_CPUNAME=arm64 BOX64_SYSINFO_FREQUENCY=1000000000 BOX64_SYSINFO_NCPU=1
export BOX64_LD_LIBRARY_PATH={_AMD64} BOX64_EMULATED_LIBS="${{libraries#:}}:libbz2.so.1"
exec /usr/bin/box64 "$program" "$@"
"""

RECIPES: Mapping[str, Recipe] = {
    "shell": Recipe(
        (Part(("busybox-static",), (_SHELL,)),), _LINKS, tells=("/bin/sh",), about="busybox, with a shell at /bin/sh"
    ),
    "mesa-vulkan": Recipe(
        (
            Part(
                ("busybox-static", "mesa-vulkan-drivers", "vulkan-tools", "vkmark"),
                (_SHELL, "/usr/bin/vulkaninfo", "/usr/bin/vkmark"),
                (f"{_ARM64}/libvulkan_panfrost.so", f"{_ARM64}/vkmark/headless.so"),
                ("/usr/share/vulkan/icd.d/panfrost_icd.json", "/usr/share/vkmark"),
            ),
        ),
        _LINKS,
        tells=("/usr/bin/vulkaninfo", "/usr/bin/vkmark"),
        about="Mesa's Vulkan driver (PanVK), vulkaninfo, vkmark --winsys headless",
    ),
    "mesa-compute": Recipe(
        (
            Part(
                (
                    "busybox-static",
                    "libggml0",
                    "libggml0-backend-vulkan",
                    "libvulkan-dev",
                    "mesa-vulkan-drivers",
                    "vulkan-tools",
                ),
                (_SHELL, "/usr/bin/vulkaninfo", "/usr/bin/vk-compute", GGML_TEST),
                (
                    f"{_ARM64}/libvulkan_panfrost.so",
                    f"{_ARM64}/ggml/backends0/libggml-cpu-armv8.0_1.so",
                    f"{_ARM64}/ggml/backends0/libggml-vulkan.so",
                ),
                ("/usr/share/vulkan/icd.d/panfrost_icd.json",),
                suite="sid",
                built=(OwnProgram("/usr/bin/vk-compute", "vk-compute.c", (f"{_ARM64}/libvulkan.so.1",)),),
            ),
        ),
        (*_LINKS, ("/usr/bin/test-backend-ops", GGML_TEST)),
        tells=("/usr/bin/test-backend-ops", "/usr/bin/vk-compute"),
        about="PanVK of Debian sid, and what computes with it: ggml's test-backend-ops, and vk-compute",
    ),
    "mesa-gl": Recipe(
        (
            Part(
                (
                    "busybox-static",
                    "glmark2-es2-wayland",
                    "libegl-mesa0",
                    "libgles2",
                    "mesa-utils-bin",
                    "waffle-utils",
                    "weston",
                ),
                (
                    _SHELL,
                    _EGLINFO,
                    "/usr/bin/wflinfo",
                    "/usr/bin/weston",
                    "/usr/bin/weston-simple-egl",
                    "/usr/bin/glmark2-es2-wayland",
                ),
                tuple(
                    f"{_ARM64}/{name}"
                    for name in (
                        "libEGL.so.1",
                        "libEGL_mesa.so.0",
                        "libGLESv2.so.2",
                        "libgbm.so.1",
                        "gbm/dri_gbm.so",
                        "libweston-14/headless-backend.so",
                        "libweston-14/gl-renderer.so",
                        "weston/kiosk-shell.so",
                    )
                ),
                (
                    "/usr/share/X11/xkb",
                    "/usr/share/drirc.d",
                    "/usr/share/glmark2",
                    "/usr/share/glvnd/egl_vendor.d/50_mesa.json",
                ),
            ),
        ),
        (*_LINKS, ("/usr/bin/eglinfo", _EGLINFO)),
        tells=(
            "/usr/bin/eglinfo",
            "/usr/bin/wflinfo",
            "/usr/bin/weston",
            "/usr/bin/weston-simple-egl",
            "/usr/bin/glmark2-es2-wayland",
        ),
        about="Mesa's OpenGL ES driver (Panfrost), eglinfo, wflinfo, weston, weston-simple-egl, glmark2-es2-wayland",
    ),
    "igt": Recipe(
        (
            Part(
                ("igt-gpu-tools-tests",),
                tuple(f"{IGT}/{name}" for name in _IGT_PROGRAMS),
                suite="sid",
                architecture="amd64",
                elsewhere=(*_NATIVE, *_NATIVE_LIBC),
            ),
            Part(
                ("box64", "busybox-static", "libglib2.0-0t64", "libpci3"),
                (_SHELL, "/usr/bin/box64"),
                tuple(
                    f"{_ARM64}/{name}"
                    for name in (
                        *_NATIVE,
                        "libdl.so.2",
                        "libgcc_s.so.1",
                        "libpthread.so.0",
                        "librt.so.1",
                        "libutil.so.1",
                    )
                ),
                suite="sid",
            ),
        ),
        (*_LINKS, *((f"/igt/{name}", "/usr/bin/igt-under-box64") for name in _IGT_PROGRAMS)),
        (("/usr/bin/igt-under-box64", _BOX64),),
        tells=("/igt",),
        about="IGT's tests of panthor and of DRM's core, Debian's own for amd64, under box64",
    ),
}
