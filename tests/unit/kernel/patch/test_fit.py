# SPDX-License-Identifier: GPL-2.0-or-later
"""How patches fit a tree: the five answers, both directions, and that nothing is judged by half a patch."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.filepatch import parse_diff
from panthorlab.kernel.patch.fit import check, split_lines
from panthorlab.kernel.patch.mails import PatchText
from panthorlab.kernel.patch.report import Fit, PatchReport

D = "drivers/gpu/drm/panthor"
MMU, SCHED, HEADER = f"{D}/panthor_mmu.c", f"{D}/panthor_sched.c", f"{D}/panthor_sched.h"
Files = dict[str, bytes]

# The same fix in the form it was first sent (v1) and in the form it was merged (v2).
NAME = "panthor_sched_prepare_for_vm_destruction"
CALL = f"\t/* Stop all work of this VM */\n\tif (vm->active_cnt > 0)\n\t\t{NAME}();\n\n"
COMMENT = "\t/* The firmware writes out state on suspend, so\n\t * all groups must be evicted before.\n\t */\n"
V1 = f"\nvoid {NAME}(void)\n{{\n{COMMENT}\tif (ticks) {{\n\t\tflush_work(&ticks);\n\t}}\n}}\n"
V2 = f"\nvoid {NAME}(void)\n{{\n{COMMENT}\tflush_work(&ticks);\n}}\n"
DECLARATION = f"void {NAME}(void);\n"


def fixed(files: Files, function: str) -> Files:
    mmu = files[MMU].decode().replace("\tvm->active_cnt +=", f"{CALL}\tvm->active_cnt +=")
    sched = files[SCHED].decode().replace("\nvoid panthor_sched_resume", f"{function}\nvoid panthor_sched_resume")
    anchor = "void panthor_sched_report_fw"
    header = files[HEADER].decode().replace(anchor, f"{DECLARATION}{anchor}")
    return files | {MMU: mmu.encode(), SCHED: sched.encode(), HEADER: header.encode()}


def diff(old: Files, new: Files, *, prefix: bool = True) -> PatchText:
    text = ""
    a, b = ("a/", "b/") if prefix else ("", "")
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name):
            continue
        lines = difflib.unified_diff(
            split_lines(old.get(name, b"").decode("latin-1")),
            split_lines(new.get(name, b"").decode("latin-1")),
            f"{a}{name}" if name in old else "/dev/null",
            f"{b}{name}" if name in new else "/dev/null",
        )
        text += "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return PatchText("the patch", "test", text)


def fit(patch: PatchText, files: Files, *, reverse: bool = False) -> PatchReport:
    return check(patch, files.get, "Linux test", reverse=reverse)


def after(report: PatchReport, files: Files) -> Files:
    result = dict(files)
    for name, content in report.changes.items():
        if content is None:
            del result[name]
        else:
            result[name] = content
    return result


def test_applies(files: Files) -> None:
    report = fit(diff(files, fixed(files, V1)), files)
    assert (report.fit, report.detail) == (Fit.APPLIES, "")
    assert after(report, files) == fixed(files, V1)
    assert set(report.files) == {MMU, SCHED, HEADER}


def test_applies_with_offset_and_fuzz_and_says_how_much(files: Files) -> None:
    other = files | {MMU: b"/* one */\n/* two */\n" + files[MMU].replace(b"vm->destroyed = 1;", b"vm->destroyed = 2;")}
    report = fit(diff(files, fixed(files, V1)), other)
    assert report.fit is Fit.APPLIES_INEXACTLY
    assert "panthor_mmu.c hunk 1: offset +2, fuzz " in report.detail
    assert b"prepare_for_vm_destruction" in report.changes[MMU]  # type: ignore[operator]


def test_already_applied(files: Files) -> None:
    report = fit(diff(files, fixed(files, V1)), fixed(files, V1))
    assert report.fit is Fit.ALREADY
    assert not report.changes


def test_lines_that_repeat_those_before_them_are_not_taken_for_applied() -> None:
    """Without the second check the first is like it, so what the patch makes is found a few lines on, too."""
    check_ = ["\tif (!ok(job)) {\n", "\t\tret = -EINVAL;\n", "\t\tgoto err_put_job;\n", "\t}\n", "\n"]
    head, tail = [f"line {n}\n" for n in range(20)], [f"more {n}\n" for n in range(20)]
    other = [line.replace("ok(", "group_can_run(") for line in check_]
    with_it = {"a.c": "".join([*head, *check_, *other, *check_, *tail]).encode()}
    without = {"a.c": "".join([*head, *check_, *check_, *tail]).encode()}
    for old, new in ((with_it, without), (without, with_it)):
        patch = diff(old, new)
        assert fit(patch, old).fit is Fit.APPLIES
        assert after(fit(patch, old), old) == new


def test_applied_in_another_form(files: Files) -> None:
    report = fit(diff(files, fixed(files, V1)), fixed(files, V2))
    assert report.fit is Fit.OTHER_FORM
    assert "% of the lines it adds are in Linux test" in report.detail
    assert not report.changes


def test_a_file_that_would_take_its_hunk_twice_does_not_make_a_half_applied_tree(files: Files) -> None:
    """Two of three files say "already applied", the third would take it a second time: nothing may change."""
    drifted = fixed(files, V2)
    drifted[SCHED] = drifted[SCHED].replace(b"\tticks++;\n}\n", b"\tticks++;\n}\n\n" + V2.encode().lstrip(b"\n"))
    report = fit(diff(files, fixed(files, V1)), drifted)
    assert report.fit in (Fit.OTHER_FORM, Fit.DOES_NOT_APPLY, Fit.ALREADY)
    assert not report.changes


def test_revert(files: Files) -> None:
    tree = fixed(files, V2)
    report = fit(diff(files, tree), tree, reverse=True)
    assert (report.fit, report.reverse) == (Fit.APPLIES, True)
    assert after(report, tree) == files


def test_revert_of_another_form_is_refused(files: Files) -> None:
    report = fit(diff(files, fixed(files, V1)), fixed(files, V2), reverse=True)
    assert report.fit is Fit.OTHER_FORM
    assert "flush_work" in report.detail


def test_revert_of_what_is_not_there(files: Files) -> None:
    assert fit(diff(files, fixed(files, V1)), files, reverse=True).fit is Fit.ALREADY


def test_does_not_apply_shows_the_hunk_and_what_the_tree_has(files: Files) -> None:
    changed = files | {MMU: files[MMU].replace(b"return x + 1;", b"return x + 2;")}
    tree = files | {MMU: files[MMU].replace(b"return x + 1;", b"return x * 3;")}
    report = fit(diff(files, changed), tree)
    assert report.fit is Fit.DOES_NOT_APPLY
    assert f"{MMU}:" in report.detail
    assert "-\treturn x + 1;" in report.detail
    line = 1 + tree[MMU].decode().splitlines().index("\treturn x * 3;")
    assert f">{line:6}: \treturn x * 3;" in report.detail
    assert f"{MMU}:{line}" in report.detail


def test_one_bad_file_spoils_the_whole_patch(files: Files) -> None:
    tree = files | {SCHED: b"/* quite another file */\n"}
    report = fit(diff(files, fixed(files, V1)), tree)
    assert report.fit is Fit.DOES_NOT_APPLY
    assert not report.changes


def test_a_tree_with_half_of_the_patch(files: Files) -> None:
    done = fixed(files, V1)
    report = fit(diff(files, done), files | {MMU: done[MMU]})
    assert (report.fit, report.changes) == (Fit.DOES_NOT_APPLY, {})
    assert report.detail == f"half applied: {MMU} has it already"
    worse = fit(diff(files, done), files | {MMU: done[MMU], SCHED: b"/* quite another file */\n"})
    assert worse.detail.startswith(f"half applied: {MMU} has it already\n{SCHED}:")


def test_a_hunk_of_a_file_that_is_there_does_not_go_in_twice(files: Files) -> None:
    """With fuzz it would fit behind itself, and the file's other hunk where it belongs."""
    gap = b"int a;\nint b;\nint c;\nint d;\n"
    far = files | {MMU: files[MMU].replace(b"int panthor_vm_other", gap + b"int panthor_vm_other")}
    done = fixed(far, V1)
    both = done | {MMU: done[MMU].replace(b"return x + 1;", b"first(x);\n\tsecond(x);\n\tthird(x);\n\treturn x;")}
    report = fit(diff({MMU: far[MMU]}, {MMU: both[MMU]}), done)
    assert (report.fit, report.changes) == (Fit.DOES_NOT_APPLY, {})
    assert "hunk 1 of 2 would go in a second time" in report.detail


@pytest.mark.parametrize("function", [V1, V2])
def test_a_function_is_not_defined_twice(files: Files, function: str) -> None:
    """The function alone is in the tree, in this form or another, and fuzz finds a place for one more."""
    done = fixed(files, function)[SCHED].replace(b"\tticks = 0;", b"\tticks = 5;")
    report = fit(diff(files, fixed(files, V1)), files | {SCHED: done})
    assert (report.fit, report.changes) == (Fit.DOES_NOT_APPLY, {})
    assert SCHED in report.detail


def test_a_patch_for_another_project(files: Files) -> None:
    patch = PatchText("p", "t", "--- a/src/main.rs\n+++ b/src/main.rs\n@@ -1 +1 @@\n-a\n+b\n")
    report = fit(patch, files)
    assert report.fit is Fit.DOES_NOT_APPLY
    assert "for another tree" in report.detail
    assert "src/main.rs" in report.detail


def test_without_prefixes(files: Files) -> None:
    assert fit(diff(files, fixed(files, V1), prefix=False), files).fit is Fit.APPLIES


def test_files_made_removed_and_renamed(files: Files) -> None:
    new = {**files, "drivers/new.c": b"int a;\n"}
    del new[HEADER]
    report = fit(diff(files, new), files)
    assert after(report, files) == new
    rename = f"diff --git a/{HEADER} b/{D}/s.h\nsimilarity index 100%\nrename from {HEADER}\nrename to {D}/s.h\n"
    moved = fit(PatchText("p", "t", rename), files)
    assert moved.changes == {HEADER: None, f"{D}/s.h": files[HEADER]}


def test_a_file_that_is_there_already_is_not_overwritten(files: Files) -> None:
    report = fit(diff({}, {"drivers/new.c": b"int a;\n"}), files | {"drivers/new.c": b"int other;\n"})
    assert report.fit is Fit.DOES_NOT_APPLY


def test_a_removed_file_must_be_as_the_patch_knows_it(files: Files) -> None:
    without = {name: content for name, content in files.items() if name != HEADER}
    report = fit(diff(files, without), files | {HEADER: files[HEADER] + b"int more;\n"})
    assert report.fit is Fit.DOES_NOT_APPLY


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../x"])
def test_paths_out_of_the_tree(files: Files, name: str) -> None:
    patch = PatchText("p", "t", f"--- {name}\n+++ {name}\n@@ -1 +1 @@\n-a\n+b\n")
    with pytest.raises(PatchError, match="outside the tree"):
        fit(patch, files)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/etc\n", "symbolic link"),
        ("diff --git a/x.png b/x.png\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZ\n", "binary file"),
        ("Binary files a/x.o and b/x.o differ\n", "binary file"),
        ("--- a/x\n+++ b/x\n@@ -1,5 +1,5 @@\n one\n", "damaged patch"),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\ntwo wrapped\n", "damaged patch"),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", "only the modes of files"),
        ("--- a/x\n+++ b/x\n@@ -1,0 +1,0 @@\n", "changes no file"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n one\n", "changes no file"),
        ("--- /dev/null\n+++ b/.git/config\n@@ -0,0 +1 @@\n+a\n", "no kernel tree has"),
        (f"--- /dev/null\n+++ b/{'x' * 300}\n@@ -0,0 +1 @@\n+a\n", "no kernel tree has"),
        (f"--- /dev/null\n+++ b/{'x/' * 3000}x\n@@ -0,0 +1 @@\n+a\n", "no kernel tree has"),
    ],
)
def test_patches_that_cannot_be_used(text: str, said: str) -> None:
    with pytest.raises(PatchError, match=said):
        parse_diff(PatchText("p", "t", text))


def test_names_and_bytes_that_are_no_utf8(files: Files) -> None:
    tree = {**files, "drivers/x.c": b"a \xe4\n\x0cb\n\x85c\n"}
    changed = tree | {"drivers/x.c": b"a \xf6\n\x0cb\n\x85c\n"}
    assert after(fit(diff(tree, changed), tree), tree) == changed


@pytest.mark.parametrize(
    ("quoted", "name"),
    [
        (r"dr\303\266.c", "dr\xc3\xb6.c"),
        (r"dr\".c", 'dr".c'),
        (r"dr\\x.c", r"dr\x.c"),
        (r"dr\x", "drx"),
        (r"\N{x", "N{x"),
    ],
)
def test_names_as_git_quotes_them(quoted: str, name: str) -> None:
    text = f'diff --git "a/{quoted}" "b/{quoted}"\n--- "a/{quoted}"\n+++ "b/{quoted}"\n@@ -1 +1 @@\n-a\n+b\n'
    assert [file.name for file in parse_diff(PatchText("p", "t", text))] == [f"b/{name}"]


def test_a_hunk_for_a_line_that_no_file_has(files: Files) -> None:
    """It is looked for in the file, not in all the numbers between."""
    text = diff(files, fixed(files, V1)).text.replace("@@ -10,6 +10,10 @@", "@@ -900000000,6 +900000000,10 @@")
    report = fit(PatchText("p", "t", text), files)
    assert "900000000" in text
    assert "panthor_mmu.c hunk 1: offset -" in report.detail


def test_an_insertion_without_context_is_not_put_just_anywhere(files: Files) -> None:
    patch = PatchText("p", "t", f"--- a/{MMU}\n+++ b/{MMU}\n@@ -9,0 +10 @@\n+\tvm->destroyed = 2;\n")
    report = fit(patch, files)
    assert (report.fit, report.changes) == (Fit.DOES_NOT_APPLY, {})
    assert f"{MMU}:9: hunk 1 has no context" in report.detail
    gone = PatchText("p", "t", f"--- a/{MMU}\n+++ b/{MMU}\n@@ -9 +8,0 @@\n-\tvm->destroyed = 2;\n")
    assert fit(gone, files).fit is Fit.DOES_NOT_APPLY, "that it is not there does not prove that it was removed"


def test_only_white_space_differs(files: Files) -> None:
    patch = diff(files, fixed(files, V1))
    report = fit(PatchText("p", "t", patch.text.replace("\t", "        ")), files)
    assert report.fit is Fit.DOES_NOT_APPLY
    assert "only in white space" in report.detail
    assert f"{MMU}:" in report.detail


def test_lines_that_every_driver_has_are_no_other_form(files: Files) -> None:
    """They are in the tree, but not by this patch."""
    code = "\tif (!vm)\n\t\treturn;\n\n"
    tree = files | {MMU: files[MMU] + b"\nvoid g(struct vm *vm)\n{\n\tif (!vm)\n\t\treturn;\n}\n"}
    other = files | {MMU: files[MMU].replace(b"int panthor_vm_other(int x)\n{\n", b"int quite(int y)\n{\n\tvm(y);\n")}
    changed = other | {MMU: other[MMU].replace(b"\tvm(y);\n", b"\tvm(y);\n" + code.encode())}
    assert fit(diff(other, changed), tree).fit is Fit.DOES_NOT_APPLY


def test_moved_lines_are_no_other_form(files: Files) -> None:
    moved = "void panthor_sched_report_mmu_fault(void)\n{\n\tticks++;\n}\n\n"
    text = files[SCHED].decode()
    assert moved in text
    there = {SCHED: text.replace(moved, "").encode() + f"\n{moved}".encode()}
    tree = {SCHED: files[SCHED].replace(b"ticks = 0;", b"ticks = 1;").replace(b"int ticks;", b"long ticks;\nint t;")}
    assert fit(diff({SCHED: files[SCHED]}, there), tree).fit is Fit.DOES_NOT_APPLY


def test_new_and_removed_files_of_a_diff_without_git(files: Files) -> None:
    epoch, now = "\t1970-01-01 00:00:00.000000000 +0000", "\t2026-01-01 12:00:00.000000000 +0100"
    made = f"--- linux.orig/drivers/new.c{epoch}\n+++ linux/drivers/new.c{now}\n@@ -0,0 +1 @@\n+int a;\n"
    assert fit(PatchText("p", "t", made), files).changes == {"drivers/new.c": b"int a;\n"}
    there = files | {"drivers/new.c": b"int a;\n"}
    gone = f"--- linux.orig/drivers/new.c{now}\n+++ linux/drivers/new.c{epoch}\n@@ -1 +0,0 @@\n-int a;\n"
    assert fit(PatchText("p", "t", gone), there).changes == {"drivers/new.c": None}
    emptied = gone.replace(epoch, now)
    assert fit(PatchText("p", "t", emptied), there).changes == {"drivers/new.c": b""}


@pytest.mark.parametrize("prefix", ["a/", "w/", "linux/", ""])
def test_a_patch_of_new_files_alone(files: Files, prefix: str) -> None:
    text = f"--- /dev/null\n+++ {prefix}drivers/new.c\n@@ -0,0 +1 @@\n+int a;\n"
    assert set(fit(PatchText("p", "t", text), files).changes) == {"drivers/new.c"}


contents = st.lists(st.sampled_from(["a", "b", "{", "}", "", "\tx = 1;", "\f", "é"]), max_size=20).map(
    lambda lines: "".join(f"{line}\n" for line in lines).encode()
)


@given(contents, contents)
def test_there_and_back(old: bytes, new: bytes) -> None:
    """What a patch makes of its own base is what it was made for, and the reverse makes the base again."""
    files = {"f.c": old, "g.c": b"x\n"}
    changed = {"f.c": new, "g.c": b"y\n"}
    patch = diff(files, changed)
    there = fit(patch, files)
    assert after(there, files) == changed or there.fit is Fit.ALREADY
    if there.fit is Fit.APPLIES:
        back = fit(patch, changed, reverse=True)
        assert after(back, changed) == files or back.fit is Fit.ALREADY
