# SPDX-License-Identifier: GPL-2.0-or-later
"""From what the user typed to two kernels, on a tree that builds in a second."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from panthorlab.errors import BuildError, ConfigError, PatchError, UsageError
from panthorlab.kernel import store
from panthorlab.kernel.build.plan import Sides
from panthorlab.kernel.build.steps import object_options, objects_of, profile_environment
from panthorlab.kernel.build.tokens import affected
from panthorlab.kernel.find import find_kernel
from panthorlab.kernel.jail.sandbox import sandbox
from panthorlab.kernel.job import build_side, cannot_differ, prepare_kernel, prepare_sides, with_files
from panthorlab.kernel.model import Kernel

from .conftest import Prepare

D = "drivers/gpu/drm/panthor"
MMU, SCHED, HEADER = f"{D}/panthor_mmu.c", f"{D}/panthor_sched.c", f"{D}/panthor_sched.h"
CALL = (
    "\t/* Tell scheduler to stop all GPU work related to this VM */\n\tif (refcount_read(&vm->as.active_cnt) > 0)\n"
    "\t\tpanthor_sched_prepare_for_vm_destruction(vm->ptdev);\n\n"
)
AROUND_CALL = "\tmutex_lock(&vm->heaps.lock);\n\tpanthor_heap_pool_destroy(vm->heaps.pool);\n\tvm->heaps.pool = NULL;\n"


def build(sides: Sides, log: Path) -> tuple[Kernel, Kernel]:
    return build_side(sides.before, log=log), build_side(sides.after, log=log)


def test_two_sides(prepare: Prepare, patch: Callable[..., Path], log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panthorlab.kernel.build.attempts.sandbox", sandbox)
    monkeypatch.setattr("panthorlab.kernel.build.steps.sandbox", sandbox)
    monkeypatch.setattr("panthorlab.kernel.build.tokens.sandbox", sandbox)
    sides = prepare([patch("one.patch", MMU, "return x + 1;", "return x + 2;")])
    assert (sides.before.title, sides.after.title) == ("6.12.99", "6.12.99 with “one.patch”")
    assert sides.notes[1] == "one.patch: applies"
    before, after = build(sides, log)
    assert before.build_id != after.build_id
    assert after.patches == ("one.patch",)
    assert after.release == "6.12.99"
    assert set(after.modules) == {"panthor_pci_shim"}
    assert set(after.digests) == {"Image", "panthor_pci_shim.ko"}
    for name in ("Image", "System.map", "config", "vmlinux", "modules/panthor_pci_shim.ko", "guest/init"):
        assert (after.path / name).is_file(), name
    assert json.loads((after.path / "kernel.json").read_text())["core_key"] == sides.after.core_key
    assert cannot_differ(sides, before, after) is None
    text = log.read_text()
    assert text.count(f"CC      {MMU.replace('.c', '.o')}") == 2, "after is an increment of before"
    assert text.count(f"CC      {SCHED.replace('.c', '.o')}") == 1


def test_a_second_run_builds_nothing(
    prepare: Prepare, patch: Callable[..., Path], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = patch("one.patch", MMU, "x + 1", "x + 2")
    first = build(prepare([one]), log)
    monkeypatch.setattr("panthorlab.kernel.build.attempts.build", lambda *_, **__: pytest.fail("built again"))
    assert build(prepare([one]), log) == first
    swapped = prepare([one], swap=True)
    assert build(swapped, log) == first[::-1]
    assert swapped.before.side == "before"


def test_the_key_follows_the_effect_not_the_patch(prepare: Prepare, patch: Callable[..., Path], tmp_path: Path) -> None:
    one = patch("one.patch", MMU, "x + 1", "x + 2")
    other = tmp_path / "mail.patch"
    other.write_text(f"From: A <a@example.org>\nSubject: [PATCH] the same\n\nText\n---\n{one.read_text()}-- \n2.4\n")
    first, second = prepare([one]), prepare([other])
    assert first.after.key == second.after.key
    assert second.after.title == "6.12.99 with “the same”"
    assert prepare([patch("two.patch", MMU, "x + 1", "x + 3")]).after.key != first.after.key


def test_the_key_follows_compiler_config_and_guest(
    prepare: Prepare, patch: Callable[..., Path], guest: Path, fragment: Path
) -> None:
    one = patch("one.patch", MMU, "x + 1", "x + 2")
    keys = [prepare([one]).after]
    (guest / "prog.c").write_text("int main(void) { return 1; }\n")
    keys.append(prepare([one]).after)
    assert keys[0].core_key == keys[1].core_key, "new guest programs need no new kernel"
    fragment.write_text(fragment.read_text() + "#? CONFIG_NOT_HERE=y\n")
    keys.append(prepare([one]).after)
    assert len({plan.key for plan in keys}) == 3


def test_a_kernel_with_debug_information_is_another_one_built_in_the_same_place(
    prepare: Prepare, patch: Callable[..., Path], fragment: Path
) -> None:
    one = patch("one.patch", MMU, "x + 1", "x + 2")
    plain = prepare([one]).after
    fragment.write_text(f"{fragment.read_text()}#! debug-info {D}\n")
    measured = prepare([one]).after
    assert measured.debug_info == (f"{D}/",)
    assert measured.key != plain.key
    assert measured.core_key != plain.core_key
    assert objects_of(measured) == objects_of(plain)


def test_a_kernel_that_counts_is_another_one_and_counts_the_patched_files_too(
    prepare: Prepare, patch: Callable[..., Path], fragment: Path
) -> None:
    one = patch("one.patch", MMU, "x + 1", "x + 2")
    plain = prepare([one]).after
    fragment.write_text(f"{fragment.read_text()}#! profile lib\n")
    sides = prepare([one])
    assert sides.before.profiled == sides.after.profiled == ("lib/", MMU)
    assert sides.after.core_key != plain.core_key


def test_make_profiles_only_what_is_named_and_not_forbidden(tmp_path: Path) -> None:
    """By the rule of the kernel's scripts/Makefile.lib, behind make's own recursion."""
    (tmp_path / "Makefile").write_text("all:\n\t@$(MAKE) -s -f $(CURDIR)/sub.mk $(OBJECTS)\n")
    (tmp_path / "sub.mk").write_text(
        "GCOV_PROFILE_clock.o := n\n"
        "_c_flags += $(if $(patsubst n%,,$(GCOV_PROFILE_$(@F))$(GCOV_PROFILE)$(if $(is-kernel-object),$(ALL))),-gcov)\n"
        "%.o:\n\t@echo $@$(_c_flags)\n"
    )
    wanted = [f"{D}/a.o", f"{D}/sub/b.o", "drivers/clk.o"]
    others = ["drivers/a.o", f"{D}x/a.o", f"{D}/clock.o"]
    argv = ["make", "-s", "--no-print-directory", f"OBJECTS={' '.join([*wanted, *others])}"]

    def made() -> list[str]:
        env = {**os.environ, **profile_environment([f"{D}/", "drivers/clk.c"])}
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60, env=env)
        return done.stdout.split()

    assert made() == [*(f"{name}-gcov" for name in wanted), *others]
    (tmp_path / "sub.mk").write_text("GCOV_PROFILE := n\n" + (tmp_path / "sub.mk").read_text())
    assert made() == [*wanted, *others], "the directory's own Makefile forbids it"
    assert profile_environment([]) == {}


def test_make_compiles_only_what_is_named_with_debug_information(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        "CFLAGS_KERNEL =\nCFLAGS_MODULE =\nexport CFLAGS_KERNEL CFLAGS_MODULE\n"
        "all:\n\t@$(MAKE) -s -f $(CURDIR)/sub.mk $(OBJECTS)\n"
    )
    (tmp_path / "sub.mk").write_text("%.o:\n\t@echo $@$(CFLAGS_KERNEL)$(CFLAGS_MODULE)\n")
    wanted = [f"{D}/a.o", f"{D}/sub/b.o", "kernel/workqueue.o"]
    others = ["drivers/gpu/drm/a.o", f"{D}x/a.o", "kernel/workqueue_internal.o", "kernel/kernel/workqueue.o"]
    options = object_options({"-g": [f"{D}/", "kernel/workqueue.c"]})
    argv = ["make", "-s", "--no-print-directory", f"OBJECTS={' '.join([*wanted, *others])}", *options]
    made = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert made == [*(f"{name}-g-g" for name in wanted), *others]
    assert object_options({"-g": []}) == ()
    assert with_files([f"{D}/"], [MMU, "kernel/workqueue.c", "include/linux/x.h", f"{D}x/a.c"]) == (
        f"{D}/",
        f"{D}x/a.c",
        "kernel/workqueue.c",
    )


def test_new_guest_programs_do_not_rebuild_the_kernel(
    prepare: Prepare, patch: Callable[..., Path], guest: Path, log: Path
) -> None:
    one = patch("one.patch", MMU, "x + 1", "x + 2")
    first = build_side(prepare([one]).after, log=log)
    (guest / "prog.c").write_text("int main(void) { return 1; }\n")
    compiled = log.read_text().count("  CC      drivers")
    second = build_side(prepare([one]).after, log=log)
    assert log.read_text().count("  CC      drivers") == compiled
    assert second.key != first.key
    assert second.build_id == first.build_id
    assert (second.path / "Image").samefile(first.path / "Image")
    assert (second.guest / "init").read_bytes() != (first.guest / "init").read_bytes()


def test_revert(prepare: Prepare, patch: Callable[..., Path], tree: Path, files: dict[str, bytes]) -> None:
    one = patch("one.patch", MMU, "x + 1", "x + 2")
    (tree / MMU).write_bytes(files[MMU].replace(b"x + 1", b"x + 2"))
    sides = prepare([one], revert=True)
    assert sides.before.changes == {MMU: files[MMU]}
    assert sides.after.changes == {}
    assert sides.before.title == "6.12.99 without “one.patch”"
    assert sides.before.patches == ("Revert: one.patch",)
    with pytest.raises(PatchError, match="already applied") as caught:
        prepare([one])
    assert "--revert" in (caught.value.hint or "")


def test_a_series_builds_on_itself(prepare: Prepare, tmp_path: Path, patch: Callable[..., Path]) -> None:
    one = patch("0001.patch", MMU, "x + 1", "x + 2")
    two = tmp_path / "0002.patch"
    two.write_text(one.read_text().replace("x + 2", "x + 3").replace("x + 1", "x + 2"))
    sides = prepare([one, two])
    assert sides.after.title == "6.12.99 with 2 patches"
    assert b"x + 3" in (sides.after.changes[MMU] or b"")
    with pytest.raises(PatchError, match=r"0002\.patch: does not apply"):
        prepare([two, one])


def test_a_patch_that_does_not_apply_changes_nothing(prepare: Prepare, patch: Callable[..., Path], cache: Path) -> None:
    bad = patch("bad.patch", MMU, "x + 1", "x + 2")
    bad.write_text(bad.read_text().replace("-\treturn x + 1;", "-\treturn y + 1;"))
    with pytest.raises(PatchError, match=f"{MMU}:.*does not fit"):
        prepare([bad])
    assert not list(cache.glob("trees/*/pristine")), "no file of the tree was touched"


def test_default_job_on_a_tree_with_the_fix(prepare: Prepare, tree: Path, files: dict[str, bytes]) -> None:
    function = f"\tvm->destroyed = true;\n\n{CALL}{AROUND_CALL}"
    text = files[MMU].decode().replace("\tvm->destroyed = 1;\n\n", function)
    (tree / MMU).write_text(text)
    sides = prepare()
    assert sides.default_job
    assert sides.base.has_fix
    assert sides.after.changes == {}
    assert sides.before.changes == {MMU: text.replace(CALL, "").encode()}
    assert "without it" in sides.notes[1]


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("\tvm->destroyed = 1;", "\t/* a comment,\n\t * of two lines */\n\tvm->destroyed = 1;", True),
        ("\tvm->destroyed = 1;", "\tvm->destroyed = 2;", False),
    ],
)
def test_a_comment_changes_nothing(
    prepare: Prepare, patch: Callable[..., Path], log: Path, old: str, new: str, same: bool
) -> None:
    """The tiny driver uses __LINE__, so that a comment does change its Image."""
    sides = prepare([patch("one.patch", MMU, old, new)])
    before, after = build(sides, log)
    if same:
        # As the real driver has it in its WARN messages: make the Images differ by a line number.
        before = Kernel(**{**vars(before), "digests": {"Image": "x"}})
    reason = cannot_differ(sides, before, after)
    assert (reason is not None) is same
    assert not same or "comments" in (reason or "")


def test_identical_builds(prepare: Prepare, patch: Callable[..., Path], log: Path) -> None:
    sides = prepare([patch("doc.patch", "Kconfig", "Always", "For ever")])
    before, after = build(sides, log)
    assert "byte for byte" in (cannot_differ(sides, before, after) or "")


def test_a_header_concerns_all_that_include_it(prepare: Prepare, patch: Callable[..., Path], log: Path) -> None:
    sides = prepare([patch("h.patch", HEADER, "void panthor_sched_suspend(void);", "extern int more;")])
    build(sides, log)
    objects = objects_of(sides.before)
    assert len(affected(objects, {HEADER})) == 2
    assert len(affected(objects, {MMU})) == 1


def test_compiler_errors_name_line_and_patch(prepare: Prepare, patch: Callable[..., Path], log: Path) -> None:
    sides = prepare([patch("broken.patch", MMU, "return x + 1;", "return x + ;")])
    build_side(sides.before, log=log)
    with pytest.raises(BuildError, match=rf"{MMU}:19: error: .*touched by 'broken\.patch'") as caught:
        build_side(sides.after, log=log)
    assert caught.value.log == log
    assert store.load(sides.after.key) is None
    fixed = prepare([patch("good.patch", MMU, "return x + 1;", "return x + 5;")])
    assert build_side(fixed.after, log=log).build_id


def test_an_interrupted_build_leaves_no_torn_objects(prepare: Prepare, patch: Callable[..., Path], log: Path) -> None:
    sides = prepare([patch("one.patch", MMU, "x + 1", "x + 2")])

    def interrupt(step: str, done: int | None = None, _total: int | None = None, /) -> None:
        if step.startswith("building 6") and (done or 0) >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_side(sides.before, log=log, progress=interrupt)
    assert store.load(sides.before.key) is None
    torn = objects_of(sides.before) / D / "panthor_sched.o"
    torn.write_bytes(b"torn")
    assert build_side(sides.before, log=log).build_id


def test_a_lost_option_is_named(prepare: Prepare, fragment: Path, tree: Path, log: Path) -> None:
    (tree / "Makefile").write_text((tree / "Makefile").read_text().replace("@cat $(K", "@grep -v ARM64 $(K"))
    sides = prepare_kernel(str(tree), fragments=[str(fragment)])
    with pytest.raises(ConfigError, match=r"tiny\.config:2: Linux 6\.12\.99 does not give.*\n.*CONFIG_ARM64=y"):
        build_side(sides, log=log)
    fragment.write_text("CONFIG_DRM=y\n")
    assert build_side(prepare_kernel(str(tree), fragments=[str(fragment)]), log=log).build_id


def test_find_by_key_or_build_directory(prepare: Prepare, log: Path, tree: Path, patch: Callable[..., Path]) -> None:
    plan = prepare([patch("one.patch", MMU, "x + 1", "x + 2")]).before
    kernel = build_side(plan, log=log)
    assert find_kernel(kernel.key[:10], log=log) == kernel
    assert find_kernel(str(kernel.path), log=log) == kernel
    with pytest.raises(UsageError, match="no kernel 'zz'"):
        find_kernel("zz", log=log)
    objects = objects_of(plan)
    before = {path: path.stat().st_mtime_ns for path in objects.rglob("*")}
    (objects / "source").symlink_to(tree)
    imported = find_kernel(str(objects), log=log)
    assert imported.build_id == kernel.build_id
    assert imported.title == f"6.12.99 from {objects}"
    assert {path: path.stat().st_mtime_ns for path in before} == before, "the user's build is only read"
    assert find_kernel(str(objects), log=log) == imported


def test_a_directory_that_is_no_finished_build(log: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "vmlinux").touch()
    with pytest.raises(UsageError, match=r"no System\.map, no \.config, no include/config/kernel\.release"):
        find_kernel(str(tmp_path), log=log)


IMAGE, RELEASE = "arch/arm64/boot/Image", "include/config/kernel.release"


@pytest.mark.parametrize(
    "trick",
    [
        f"rm $(O)/{IMAGE}; ln -s {{secret}} $(O)/{IMAGE}",
        f"rm $(O)/{IMAGE}; mkfifo $(O)/{IMAGE}",
        "ln -sf {secret} $(O)/System.map",
        "ln -sf {secret} $(O)/.config",
        "rm $(O)/.config; mkfifo $(O)/.config",
        "ln -sf {secret} $(O)/vmlinux",
        f"ln -sf {{secret}} $(O)/{RELEASE}",
        f"rm $(O)/{RELEASE}; mkfifo $(O)/{RELEASE}",
        "cp -r $(O)/arch {elsewhere}; rm -r $(O)/arch; ln -s {elsewhere}/arch $(O)/arch",
        "ln -s {secret} $(O)/x.ko; echo x.o > $(O)/modules.order",
    ],
)
def test_a_build_cannot_smuggle_files_in(
    prepare: Prepare, tree: Path, log: Path, fragment: Path, tmp_path: Path, trick: str
) -> None:
    """A Makefile may leave links to what only we can read, and pipes that we would wait for; neither is followed."""
    (tmp_path / "secret").write_text("6.12.99-the-secret\n")
    (tmp_path / "elsewhere").mkdir()
    trick = trick.format(secret=tmp_path / "secret", elsewhere=tmp_path / "elsewhere")
    text = (tree / "Makefile").read_text()
    assert "modules:\n\t@: > $(O)/modules.order\n" in text
    text = text.replace("modules:\n\t@: > $(O)/modules.order\n", f"modules: Image\n\t@{trick}\n")
    (tree / "Makefile").write_text(text)
    with pytest.raises(BuildError, match="that can be taken"):
        build_side(prepare_kernel(str(tree), fragments=[str(fragment)]), log=log)
    assert not list(store.kernels())


def test_commands_are_not_read_from_pipes_and_links(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"savedcmd_x.o := cat {HEADER}\ndeps := {HEADER}\n")
    os.mkfifo(tmp_path / ".pipe.o.cmd")
    (tmp_path / "obj").mkdir()
    os.mkfifo(tmp_path / "obj/.pipe.o.cmd")
    (tmp_path / "obj/.link.o.cmd").symlink_to(tmp_path / "secret")
    assert affected(tmp_path / "obj", [HEADER]) == []
    shutil.copy(tmp_path / "secret", tmp_path / "obj/.file.o.cmd")
    assert affected(tmp_path / "obj", [HEADER]) == [["cat", HEADER]]


def test_what_was_built_without_a_jail_stays_known_as_such(
    prepare: Prepare, patch: Callable[..., Path], guest: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it comes from the store, and when only its guest programs are built anew in the jail."""
    one = patch("one.patch", MMU, "x + 1", "x + 2")
    assert not build_side(prepare([one]).after, log=log).jailed
    monkeypatch.setattr("panthorlab.kernel.build.attempts.sandbox", sandbox)
    assert not build_side(prepare([one]).after, log=log).jailed
    assert build_side(prepare([one]).before, log=log).jailed
    (guest / "prog.c").write_text("int main(void) { return 1; }\n")
    with_core = build_side(prepare([one]).after, log=log)
    assert not with_core.jailed
    assert find_kernel(with_core.key, log=log) == with_core


def test_two_runs_at_once_build_once(prepare: Prepare, log: Path, tree: Path, fragment: Path) -> None:
    plan = prepare_kernel(str(tree), fragments=[str(fragment)])
    results: list[Kernel] = []
    threads = [threading.Thread(target=lambda: results.append(build_side(plan, log=log))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 2
    assert results[0] == results[1]
    assert log.read_text().count(f"  CC      {MMU.replace('.c', '.o')}") == 1


def test_what_is_no_patch_is_said_before_a_base_is_fetched(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.patch").touch()
    with pytest.raises(PatchError, match="is empty"):
        prepare_sides("debian:6.18.5", [str(tmp_path / "empty.patch")])
    with pytest.raises(PatchError, match="is empty"):
        prepare_kernel("debian:6.18.5", [str(tmp_path / "empty.patch")])


def test_of_each_patch_it_is_said_what_became_of_it(prepare: Prepare, patch: Callable[..., Path], tree: Path) -> None:
    one = patch("one.patch", MMU, "return x + 1;", "return x + 2;")
    two = patch("two.patch", SCHED, "ticks = 0;", "ticks = 1;")
    bad = patch("bad.patch", SCHED, "ticks++;", "ticks += 2;")
    (tree / MMU).write_text((tree / MMU).read_text().replace("return x + 1;", "return x + 2;"))
    with pytest.raises(PatchError, match=r"one\.patch: already applied[^\n]*\ntwo\.patch: applies$") as caught:
        prepare([one, two])
    assert "leave out" in (caught.value.hint or "")
    with pytest.raises(PatchError, match="already applied") as caught:
        prepare([one])
    assert "--revert" in (caught.value.hint or "")
    (tree / SCHED).write_text((tree / SCHED).read_text().replace("ticks++;", "ticks--;"))
    with pytest.raises(PatchError, match=r"(?s)one.*bad\.patch: does not apply.*the other 1 of 3 patches"):
        prepare([one, bad, two])


def test_the_same_patch_twice(prepare: Prepare, patch: Callable[..., Path]) -> None:
    one = patch("one.patch", MMU, "return x + 1;", "return x + 2;")
    with pytest.raises(PatchError, match="already applied") as caught:
        prepare([one, one])
    assert "--revert" not in (caught.value.hint or "")


def test_nothing_to_revert(prepare: Prepare) -> None:
    with pytest.raises(UsageError, match="nothing to revert"):
        prepare(revert=True)


@pytest.mark.parametrize("suffix", ["", "@v1"])
def test_a_range_is_looked_up_in_a_bare_base(
    git_tree: SimpleNamespace, tmp_path: Path, cache: Path, guest: Path, fragment: Path, suffix: str
) -> None:
    (git_tree.path / MMU).write_text((git_tree.path / MMU).read_text().replace("x + 1", "x + 2"))
    git_tree.git("commit", "-q", "-a", "-m", "two")
    git_tree.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    root = tmp_path / "bare.git" if suffix else git_tree.path
    git_tree.git("checkout", "-q", "v1")
    sides = prepare_sides(f"{root}{suffix}", ["v1..main"], fragments=[str(fragment)])
    assert [report.title for report in sides.reports] == ["two"]
