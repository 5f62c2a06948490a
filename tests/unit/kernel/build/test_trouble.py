# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines that compilers, linkers, shells and make print when the machine fails, and such that only look like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.kernel.build.trouble import TroubleKind, by_status, find_trouble, killed_outright

K = TroubleKind
LINES = [
    # make 4.3, 4.4
    ("make: *** [Makefile:7: c] Killed", K.KILLED),
    ("make[4]: *** [/mnt/src/scripts/Makefile.build:229: drivers/gpu/drm/panthor/panthor_mmu.o] Error 137", K.KILLED),
    ("make[2]: *** [/mnt/src/scripts/Makefile.vmlinux:34: vmlinux] Error 143", K.KILLED),
    ("make[3]: *** [scripts/Makefile.host:114: scripts/mod/modpost] Bus error (core dumped)", K.KILLED),
    ("make[1]: *** [Makefile:224: __sub-make] Terminated", K.KILLED),
    ("trap/bin/gcc: 3: make: *** [Makefile:34: panthor_mmu.o] Killed", K.KILLED),  # of two jobs at once
    ("x.c: In make[2]: *** [scripts/Makefile.build:229: x.o] Error 137", K.KILLED),
    ("make[2]: *** [x.mk:1: y] Error 139", K.CRASHED),
    ("make[2]: *** [x.mk:1: y] Segmentation fault (core dumped)", K.CRASHED),
    ("make: fork: Resource temporarily unavailable", K.MEMORY),
    # shells: dash, bash
    ("Killed", K.KILLED),
    ("Bus error", K.KILLED),
    ("Segmentation fault", K.CRASHED),
    ("File size limit exceeded", K.DISK),
    ("/mnt/src/scripts/link-vmlinux.sh: line 113: 12345 Killed                  ${PAHOLE} -J x", K.KILLED),
    ("/bin/sh: 1: xz: not found", K.TOOL),
    ("/bin/sh: line 1: cpio: command not found", K.TOOL),
    # gcc and collect2
    ("gcc: fatal error: Killed signal terminated program cc1", K.KILLED),
    ("aarch64-linux-gnu-gcc: fatal error: Terminated signal terminated program cc1", K.KILLED),
    ("bin/gcc: 3: gcc: fatal error: Terminated signal terminated program cc1", K.KILLED),  # of two jobs at once
    ("aarch64-linux-gnu-gcc: internal compiler error: Bus error signal terminated program cc1", K.KILLED),
    ("gcc: internal compiler error: Segmentation fault signal terminated program cc1", K.CRASHED),
    ("/mnt/src/mm/slub.c:12:3: internal compiler error: in gimplify_expr, at gimplify.c:77", K.CRASHED),
    ("mm/x.c:1:1: internal compiler error: Segmentation fault", K.CRASHED),
    ("collect2: fatal error: ld terminated with signal 9 [Killed]", K.KILLED),
    ("collect2: error: ld terminated with signal 7 [Bus error], core dumped", K.KILLED),
    ("collect2: fatal error: ld terminated with signal 11 [Segmentation fault]", K.CRASHED),
    ("cc1: out of memory allocating 65536 bytes after a total of 12345 bytes", K.MEMORY),
    ("virtual memory exhausted: Cannot allocate memory", K.MEMORY),
    ("/mnt/src/mm/x.c:1:1: fatal error: error writing to /tmp/cc.s: No space left on device", K.DISK),
    ("cc1: fatal error: /mnt/src/include/linux/mm.h: Input/output error", K.MACHINE),
    # binutils
    ("{standard input}:12: Fatal error: can't write 12 bytes to section .text: 'No space left on device'", K.DISK),
    ("aarch64-linux-gnu-ld: final link failed: No space left on device", K.DISK),
    ("aarch64-linux-gnu-ld: final link failed: memory exhausted", K.MEMORY),
    ("aarch64-linux-gnu-objcopy: arch/arm64/boot/Image: No space left on device", K.DISK),
    ("aarch64-linux-gnu-ar: vmlinux.a: Input/output error", K.MACHINE),
    # clang, lld, rustc
    ("clang: error: unable to execute command: Killed", K.KILLED),
    ("clang: error: clang frontend command failed due to signal (use -v to see invocation)", K.CRASHED),
    ("PLEASE submit a bug report to https://github.com/llvm/llvm-project/issues/", K.CRASHED),
    ("LLVM ERROR: out of memory", K.MEMORY),
    ("error: could not compile `core` (signal: 9, SIGKILL: kill)", K.KILLED),
    ("error: rustc interrupted by SIGSEGV, printing backtrace", K.CRASHED),
    ("clang-19: error: clang frontend command failed with exit code 139 (use -v to see invocation)", K.CRASHED),
    ("clang-19: error: linker command failed with exit code 137 (use -v to see invocation)", K.KILLED),
    ("aarch64-linux-gnu-as: BFD (GNU Binutils) 2.40 internal error, aborting at ../../bfd/elf.c:1", K.CRASHED),
    ("gcc: fatal error: cannot execute 'cc1': execvp: No such file or directory", K.TOOL),
    # the rest of the chain
    ("/bin/sh: 1: Cannot fork", K.MEMORY),
    ("make[1]: write error: stdout", K.MACHINE),
    ("make[2]: *** read jobs pipe: Input/output error.  Stop.", K.MACHINE),
    ("make[2]: *** write jobserver: Bad file descriptor.  Stop.", K.MACHINE),
    ("ccache: error: failed to write to /mnt/ccache/tmp/x: No space left on device", K.DISK),
    ("xz: (stdin): Cannot allocate memory", K.MEMORY),
    ("pahole: Cannot allocate memory", K.MEMORY),
    ("cpio: write error: No space left on device", K.DISK),
    ("cat: write error: Disk quota exceeded", K.DISK),
    ("MemoryError", K.MEMORY),
    ("/bin/sh: 1: cannot create .x.o.cmd: Read-only file system", K.MACHINE),
    ("fixdep: error opening file: mm/.x.o.d: Too many open files", K.MACHINE),
]
HARMLESS = [
    '/mnt/src/x.c:3:2: error: #error "out of memory"',
    "/mnt/src/x.c:3:2: error: #error Killed",
    "/mnt/src/x.c:3:2: error: #error make: *** [x] Killed",
    "/mnt/src/x.c:3:2: error: #error gcc: fatal error: Killed signal terminated program cc1",
    '/mnt/src/x.c:3:2: error: static assertion failed: "No space left on device"',
    "/mnt/src/x.c:14: Error: No space left on device",
    '   12 |  pr_err("Killed");',
    "      |  Bus error",
    "      |  ^~~~~~ Cannot allocate memory",
    "/mnt/src/x.c:3:2: warning: this says: Cannot allocate memory",
    "/mnt/src/x.c:3:10: fatal error: linux/no.h: No such file or directory",
    "make[6]: *** [/mnt/src/scripts/Makefile.build:229: drivers/gpu/drm/panthor/panthor_mmu.o] Error 1",
    "make: *** [Makefile:224: __sub-make] Error 2",
    "make[1]: *** [Makefile:9: x] Error 127",
    "make[1]: *** Waiting for unfinished jobs....",
    "Makefile:3: *** out of memory.  Stop.",
    "Makefile:3: *** Killed.  Stop.",
    "  CC      drivers/killed.o",
    "  LD      Killed",
    "compilation terminated.",
    "ld: panthor_mmu.o: in function `Killed':",
    "panthor_mmu.c:(.text+0x5): undefined reference to `out_of_memory'",
    "",
]


@pytest.mark.parametrize(("line", "kind"), LINES)
def test_the_machine(line: str, kind: TroubleKind) -> None:
    trouble = find_trouble(["  CC      mm/x.o", line, "make: *** [Makefile:224: __sub-make] Error 2"])
    assert trouble is not None
    assert (trouble.kind, trouble.line) == (kind, line)


@pytest.mark.parametrize("line", HARMLESS)
def test_the_source(line: str) -> None:
    assert find_trouble([line]) is None
    assert killed_outright([line]) is None


def test_a_full_disk_is_named_before_what_came_of_it() -> None:
    lines = ["Bus error", "make[1]: *** [x: y] Error 135", "ld: final link failed: No space left on device"]
    trouble = find_trouble(lines)
    assert trouble is not None
    assert trouble.kind is K.DISK


def test_in_the_middle_of_a_pipeline() -> None:
    assert killed_outright(["  GEN     System.map", "Killed", "  OBJCOPY Image"]) is not None
    assert killed_outright(["  GEN     System.map", "  OBJCOPY Image"]) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (0, None),
        (2, None),
        (137, K.KILLED),
        (-9, K.KILLED),
        (-15, K.KILLED),
        (1, K.MACHINE),
        (125, K.MACHINE),
        (127, K.MACHINE),
        (255, K.MACHINE),
    ],
)
def test_only_status_2_is_what_make_says_of_the_source(status: int, kind: TroubleKind | None) -> None:
    trouble = by_status(status, "make")
    assert (trouble.kind if trouble else None) == kind


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=60)))
def test_any_output_can_be_read(lines: list[str]) -> None:
    find_trouble(lines)
    killed_outright(lines)


@given(st.text(st.characters(exclude_characters="\n\r")), st.sampled_from([line for line, _ in LINES]))
def test_what_the_compiler_says_of_the_source_is_never_the_machine(before: str, words: str) -> None:
    assert find_trouble([f"/mnt/src/x.c:1:2: error: {before} {words}", f"  3 | {before} {words}"]) is None
