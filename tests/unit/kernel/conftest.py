# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel tree of a dozen lines that can be configured and built with the host's compiler, and a private cache."""

from __future__ import annotations

import difflib
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from panthorlab.kernel.build.plan import Sides
from panthorlab.kernel.jail.sandbox import Sandbox
from panthorlab.kernel.job import prepare_sides

DRIVER = "drivers/gpu/drm/panthor"

MAKEFILE = """\
# SPDX-License-Identifier: GPL-2.0
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 99
EXTRAVERSION =
NAME = Tiny
# KBUILD would be here
S := $(CURDIR)
D := drivers/gpu/drm/panthor
ifneq ($(M),)
modules:
\t@echo '  CC [M]  $(M)/panthor_pci_shim.ko'
\t@gcc -nostdlib -shared -Wl,--build-id=sha1 -o $(M)/panthor_pci_shim.ko $(M)/shim.c
\t@echo panthor_pci_shim.o > $(M)/modules.order
else
allnoconfig:
\t@mkdir -p $(O)/include/config
\t@cat $(KCONFIG_ALLCONFIG) > $(O)/.config
\t@echo 'CONFIG_ALWAYS=y' >> $(O)/.config
\t@echo 6.12.99 > $(O)/include/config/kernel.release
Image: $(O)/arch/arm64/boot/Image
modules:
\t@: > $(O)/modules.order
$(O)/arch/arm64/boot/Image: $(O)/vmlinux
\t@mkdir -p $(@D)
\t@cp $< $@
$(O)/vmlinux: $(O)/$D/panthor_mmu.o $(O)/$D/panthor_sched.o
\t@echo '  LD      vmlinux'
\t@gcc -nostdlib -shared -Wl,--build-id=sha1 -o $@ $^
\t@nm $@ > $(O)/System.map
$(O)/$D/%.o: $D/%.c $D/panthor_sched.h
\t@echo '  CC      $D/$*.o'
\t@mkdir -p $(@D)
\t@gcc -c -fPIC -I$S/$D -o $@ $S/$D/$*.c
\t@printf 'savedcmd_$D/%s.o := gcc -c -fPIC -I%s/$D -o %s %s\\n' $* $S $@ $S/$D/$*.c > $(@D)/.$*.o.cmd
\t@printf 'deps := %s %s\\n' $S/$D/$*.c $S/$D/panthor_sched.h >> $(@D)/.$*.o.cmd
endif
.PHONY: allnoconfig Image modules
"""

KCONFIG = """\
config ALWAYS
\tbool "Always"
\tdefault y

source "drivers/gpu/drm/panthor/Kconfig"
"""

DRIVER_KCONFIG = """\
config DRM_PANTHOR
\ttristate "Panthor"
\tdepends on DRM && (ARM64 || COMPILE_TEST)
\tselect DRM_EXEC
\thelp
\t  config NOT_THIS is only
\t  text.

config DRM
\tbool "DRM"

config ARM64
\tbool "Arm"
"""

MMU = """\
#include "panthor_sched.h"

struct vm { int active_cnt; int destroyed; };
int heaps_lock(struct vm *vm);

void panthor_vm_destroy(struct vm *vm)
{
\tif (!vm)
\t\treturn;

\tvm->destroyed = 1;

\tvm->active_cnt += __LINE__ ? 1 : 0;
\tvm->active_cnt--;
}

int panthor_vm_other(int x)
{
\treturn x + 1;
}
"""

SCHED = """\
#include "panthor_sched.h"

int ticks;

void panthor_sched_report_mmu_fault(void)
{
\tticks++;
}

void panthor_sched_resume(void)
{
\tticks = 0;
}
"""

HEADER = """\
void panthor_sched_suspend(void);
void panthor_sched_resume(void);

void panthor_sched_report_mmu_fault(void);
void panthor_sched_report_fw_events(void);
"""

GUEST_MAKEFILE = """\
all:
\tmkdir -p $(OUT)
\ttest -f $(UAPI)/drm/panthor_drm.h
\tgcc -x c -I$(UAPI) -o $(OUT)/init prog.c
"""

FILES = {
    "Makefile": MAKEFILE,
    "Kconfig": KCONFIG,
    f"{DRIVER}/Kconfig": DRIVER_KCONFIG,
    f"{DRIVER}/panthor_mmu.c": MMU,
    f"{DRIVER}/panthor_sched.c": SCHED,
    f"{DRIVER}/panthor_sched.h": HEADER,
    "include/uapi/drm/panthor_drm.h": "struct a { char __user *p; };\n",
}

FRAGMENT = "CONFIG_DRM=y\nCONFIG_ARM64=y\nCONFIG_DRM_PANTHOR=y\nCONFIG_PCI=y\nCONFIG_MODULES=y\n"

MakeTree = Callable[[Path], Path]


def write_tree(root: Path) -> Path:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def write_guest(root: Path) -> Path:
    (root / "shim").mkdir(parents=True)
    (root / "Makefile").write_text(GUEST_MAKEFILE)
    (root / "prog.c").write_text("int main(void) { return 0; }\n")
    (root / "shim" / "shim.c").write_text("int shim;\n")
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private cache directory; nothing of the user's is used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "panthorlab"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tiny kernel tree that is no git repository."""
    return write_tree(tmp_path / "linux")


@pytest.fixture
def files() -> dict[str, bytes]:
    """The same tree as content by path."""
    return {name: text.encode() for name, text in FILES.items()}


@pytest.fixture
def git_tree(tmp_path: Path) -> SimpleNamespace:
    """The tree as a git repository with one commit, tagged v1. `git(…)` runs git in it."""
    root = write_tree(tmp_path / "linux.git-tree")

    def git(*args: str) -> str:
        argv = ["git", "-C", str(root), "-c", "user.name=T", "-c", "user.email=t@example.org", *args]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "tiny")
    git("tag", "v1")
    return SimpleNamespace(path=root, git=git)


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the guest programs, built with the host's compiler; also makes that the compiler of kernels."""
    root = write_guest(tmp_path / "guest")
    # Outside the jail it is three times as fast; `test_two_sides` and test_sandbox.py go through it.
    for module in ("attempts", "steps", "tokens", "external", "programs", "warnings"):
        monkeypatch.setattr(f"panthorlab.kernel.build.{module}.sandbox", lambda: Sandbox(False))
    monkeypatch.setattr("panthorlab.kernel.build.guest.SOURCES", root)
    monkeypatch.setenv("CROSS_COMPILE", "")
    return root


@pytest.fixture
def fragment(tmp_path: Path) -> Path:
    """A config fragment that the tiny tree satisfies."""
    path = tmp_path / "tiny.config"
    path.write_text(FRAGMENT)
    return path


Prepare = Callable[..., Sides]


@pytest.fixture
def prepare(tree: Path, cache: Path, guest: Path, fragment: Path) -> Prepare:
    def call(patches: Sequence[str | Path] = (), *, revert: bool = False, swap: bool = False) -> Sides:
        names = [str(patch) for patch in patches]
        return prepare_sides(str(tree), names, revert=revert, swap=swap, fragments=[str(fragment)])

    return call


@pytest.fixture
def patch(files: dict[str, bytes], tmp_path: Path) -> Callable[..., Path]:
    """Write a patch that replaces text in a file."""

    def make(name: str, file: str, old: str, new: str) -> Path:
        text = files[file].decode()
        assert old in text
        changed = text.replace(old, new).splitlines(True)
        lines = difflib.unified_diff(text.splitlines(True), changed, f"a/{file}", f"b/{file}")
        path = tmp_path / name
        path.write_text("".join(lines))
        return path

    return make


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run" / "build.log"
