# SPDX-License-Identifier: GPL-2.0-or-later
"""What a build log says about errors, progress, and whose fault it is."""

from __future__ import annotations

from panthorlab.kernel.build.output import BuildProblem, culprit, find_problems, is_step
from panthorlab.kernel.patch.report import Fit, PatchReport

MMU = "drivers/gpu/drm/panthor/panthor_mmu.c"
LOG = f"""\
  CC      {MMU.replace(".c", ".o")}
/mnt/src/{MMU}: In function ‘panthor_vm_destroy’:
/mnt/src/{MMU}:1561:9: error: implicit declaration of function ‘nonsense’ [-Werror=implicit-function-declaration]
 1561 |         nonsense();
      |         ^~~~~~~~
/mnt/src/{MMU}:1562:2: warning: unused variable
In file included from /mnt/src/drivers/gpu/drm/panthor/panthor_gem.h:1,
./include/linux/none.h:3:10: fatal error: linux/no.h: No such file or directory
make[6]: *** [/mnt/src/scripts/Makefile.build:229: drivers/gpu/drm/panthor/panthor_mmu.o] Error 1
make: *** [Makefile:224: __sub-make] Error 2
""".splitlines()


def test_compiler_errors_with_file_and_line() -> None:
    problems = find_problems(LOG, ["/mnt/src"])
    assert [(problem.file, problem.line) for problem in problems] == [(MMU, 1561), ("include/linux/none.h", 3)]
    assert "implicit declaration" in problems[0].text
    assert str(problems[0]).startswith(f"{MMU}:1561: error: implicit")


def test_linker_and_modpost_errors() -> None:
    log = [
        "ld: panthor_mmu.o: in function `x':",
        "panthor_mmu.c:(.text+0x5): undefined reference to `gone'",
        'ERROR: modpost: "gone" [drivers/x.ko] undefined!',
        "make[1]: *** [Makefile:1: x] Error 1",
    ]
    texts = [str(problem) for problem in find_problems(log, [])]
    assert "undefined reference to `gone'" in texts[0]
    assert texts[1] == '"gone" [drivers/x.ko] undefined!'
    assert len(texts) == 2


def test_make_itself_only_if_there_is_nothing_better() -> None:
    log = ["make[2]: *** No rule to make target 'x.o', needed by 'y'.  Stop."]
    assert "No rule to make target" in find_problems(log, [])[0].text
    assert find_problems(["all is well"], []) == []


def test_steps_are_counted() -> None:
    lines = ("  CC      a.o", "  CC [M]  a.o", "  LD      vmlinux", "make: x", "  1561 |  CC")
    assert [is_step(line) for line in lines] == [True, True, True, False, False]


def test_the_patch_at_fault() -> None:
    report = PatchReport("Do it", "x", Fit.APPLIES, "", (MMU,))
    assert culprit(BuildProblem(MMU, 1, "error"), [report]) == f"{MMU} is touched by 'Do it'"
    assert culprit(BuildProblem("mm/x.c", 1, "error"), [report]) == "no patch touches that file"
    assert culprit(BuildProblem("", 0, "undefined"), [report]) == ""
