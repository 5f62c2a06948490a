# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab notify`: its file, what it makes a notice of, and its exit status."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panthorlab import cli
from panthorlab.errors import ConfigError, LabError
from panthorlab.notify.config import read_config
from panthorlab.notify.main import notice_of
from panthorlab.notify.ofnight import of_night
from tests.made_runs import ALONE, FIXED, write_run
from tests.notice_servers import Receiver

NIGHT = {
    "name": "20260102-0100",
    "title": "drm-misc",
    "started": 1_767_268_800.0,
    "seconds": 4000.0,
    "directory": "/lab/nights/20260102-0100",
    "outcome": "regressed",
    "exit": 1,
    "attempted": 200,
    "judged": 199,
    "lost": 1,
    "notes": ["the time was up"],
    "kernels": [
        {
            "name": "drm-misc/next/default",
            "tree": "drm-misc",
            "outcome": "regressed",
            "exit": 1,
            "standing": None,
            "commit": {"id": "0123456789abcdef0123456789abcdef01234567", "subject": "drm/panthor: Be faster"},
            "reasons": ["worse than in the last good night", "second"],
            "new": [
                {
                    "what": "signature", "name": "oops:panthor", "where": "heap-exit/exit", "before": [0, 100],
                    "after": [7, 90], "blamed": True, "reason": "significantly more",
                },
                {"what": "test", "name": "reset::test_it", "before": [0, 2], "after": [1, 2], "blamed": False},
            ],
            "passes": ["heap-exit/vms@mmu-fault did not come"],
            "culprits": [
                {
                    "signature": "oops:panthor", "commits": [{"id": "a" * 40, "subject": "drm/panthor: Be faster"}],
                    "verified": True, "reason": "", "checks": [], "directory": "/lab/b",
                },
                {"signature": "x", "commits": [], "verified": False, "reason": "the time was up"},
            ],
            "compared": None,
        },
        {"name": "drm-misc/fixes/default", "outcome": "unchanged", "standing": "failing", "exit": 1},
    ],
}  # fmt: skip


def config(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("notify:\n  webhook: []\n", "2:3: unknown key `notify.webhook`"),
        ("notify:\n  webhooks:\n    - url: https://a:b@x.example/\n", "3:12: `notify.webhooks.0.url`"),
        ("notify:\n  webhooks:\n    - url: file:///etc/passwd\n", "3:12: `notify.webhooks.0.url`"),
        ("notify:\n  webhooks:\n    - url: 'http://[::1'\n", "3:12: `notify.webhooks.0.url`: is no URL"),
        ("notify:\n  webhooks:\n    - {}\n", "3:7: `notify.webhooks.0`: give `url` or `url_from`"),
        (
            "notify:\n  webhooks:\n    - url: http://x.example/\n      token: {env: T}\n",
            "3:7: `notify.webhooks.0`: a `token` needs an https:// URL",
        ),
        (
            "notify:\n  webhooks:\n    - url: https://x.example/\n      token: s3cret\n",
            "4:14: `notify.webhooks.0.token`",
        ),
        ("notify:\n  webhooks:\n    - url: https://x.example/\n      timeout: 1e9\n", "4:16:"),
        ("notify:\n  mail:\n    host: m\n    sender: a@b\n    to: ['x@y\\n', 'c@d']\n", "5:10: `notify.mail.to.0`"),
        ('notify:\n  mail:\n    host: m\n    sender: a@b\n    to: ["x@y\\nBcc: z@z"]\n', "5:10: `notify.mail.to.0`"),
        ("notify:\n  mail:\n    host: m\n    sender: a@b\n    to: []\n", "5:9: `notify.mail.to`"),
        (
            "notify:\n  mail: {host: m, sender: a@b, to: [c@d], user: u}\n",
            "2:9: `notify.mail`: `user` and `password` belong together",
        ),
        (
            "notify:\n  mail: {host: m, sender: a@b, to: [c@d], user: u, password: {env: P}, security: none}\n",
            "2:9: `notify.mail`: a `password` needs `security: starttls` or `tls`",
        ),
        ("trees: []\n", "1:1: `notify` is missing"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(config(tmp_path / "notify.yaml", text))
    assert f"notify.yaml:{message}" in str(caught.value)


def test_the_section_may_stand_in_a_larger_file(tmp_path: Path) -> None:
    text = "trees:\n  - name: x\nnotify:\n  when: always\n  mail: {host: m, sender: a@b.example, to: [c@d.example]}\n"
    section = read_config(config(tmp_path / "nightly.yaml", text))
    assert section.when == "always"
    assert section.mail is not None
    assert (section.mail.sender, section.mail.security) == ("a@b.example", "starttls")


def test_the_notice_of_a_run(tmp_path: Path) -> None:
    notice = notice_of(write_run(tmp_path / "7", FIXED))
    assert (notice.kind, notice.verdict, notice.exit, notice.bad) == ("validate", "fixed", 0, False)
    parts = {part.title: part.lines for part in notice.parts}
    assert parts["faults, of what was judged"] == (
        "heap-exit/exit on qemu-g610: before 80/80, after 0/300",
        "heap-exit/sigkill on qemu-g610: before 76/80, after 0/300",
    )
    assert "findings on the kernel under test" not in parts, "those of *before* are expected"

    alone = notice_of(write_run(tmp_path / "8", replace(ALONE, lost=1)))
    assert (alone.kind, alone.verdict, alone.exit) == ("run", "error", 4)
    parts = {part.title: part.lines for part in alone.parts}
    assert "heap-exit/vm-destroy-live on qemu-g610: kernel 4/20 (2 lost)" in parts["faults, of what was judged"]
    assert len(parts["findings on the kernel under test"]) == 1


def test_a_run_that_is_none_is_no_good_news(tmp_path: Path) -> None:
    stopped = notice_of(write_run(tmp_path / "stopped", replace(FIXED, ended=False)))
    assert (stopped.verdict, stopped.bad) == ("stopped", True)
    damaged = write_run(tmp_path / "damaged", FIXED)
    (damaged / "events.jsonl").write_bytes(b"\x1b[2J\n")
    notice = notice_of(damaged)
    assert (notice.verdict, notice.exit) == ("damaged", 4)
    assert notice.parts[0].title == "what is wrong with the run"


def test_the_notice_of_several_runs_is_as_bad_as_the_worst(tmp_path: Path) -> None:
    write_run(tmp_path / "m/a", replace(ALONE, rates={"heap-exit/exit": {"kernel": (0, 10)}}))
    assert notice_of(tmp_path / "m").exit == 0
    write_run(tmp_path / "m/b", replace(ALONE, rates={"heap-exit/exit": {"kernel": (3, 10)}}))
    notice = notice_of(tmp_path / "m")
    assert (notice.exit, notice.verdict, notice.title) == (1, "failed", "m: 2 runs, 1 of them not as wanted")
    write_run(tmp_path / "m/c", replace(ALONE, ended=False))
    assert notice_of(tmp_path / "m").exit == 4


def test_the_notice_of_a_night(tmp_path: Path) -> None:
    (tmp_path / "night.json").write_text(json.dumps(NIGHT))
    notice = notice_of(tmp_path)
    assert (notice.kind, notice.title, notice.verdict, notice.exit) == (
        "night",
        "drm-misc 20260102-0100",
        "regressed",
        1,
    )
    assert (notice.judged, notice.lost) == (199, 1)
    parts = {part.title: part.lines for part in notice.parts}
    assert parts["kernels"] == (
        "regressed: drm-misc/next/default at 0123456789ab drm/panthor: Be faster: worse than in the last good night",
        "unchanged (failing since it was judged): drm-misc/fixes/default",
    )
    assert parts["new in drm-misc/next/default"] == (
        "signature oops:panthor in heap-exit/exit: 0/100 → 7/90",
        "test reset::test_it: 0/2 → 1/2, seen too seldom to blame the kernel",
    )
    assert parts["brought to drm-misc/next/default by"] == (
        "aaaaaaaaaaaa drm/panthor: Be faster (oops:panthor; verified)",
        "nobody knows (x): the time was up",
    )
    assert parts["notes"] == ("the time was up",)


@pytest.mark.parametrize("content", [
        "", "[]", "{}", "[" * 5000, json.dumps({**NIGHT, "exit": "0"}), json.dumps({**NIGHT, "seconds": float("nan")}),
        json.dumps({**NIGHT, "started": 1e300}), json.dumps({**NIGHT, "started": -1e14}),
    ])  # fmt: skip
def test_what_is_no_night_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "night.json").write_text(content)
    with pytest.raises(LabError, match=r"night"):
        notice_of(tmp_path)


def test_a_night_in_memory_is_told_as_its_file(tmp_path: Path) -> None:
    (tmp_path / "night.json").write_text(json.dumps(NIGHT))
    assert of_night(NIGHT) == notice_of(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    status = cli.main(["notify", *map(str, arguments), "--json"])
    made = json.loads(capsys.readouterr().out)
    assert isinstance(made, dict)
    return status, made


def test_the_exit_status_is_that_of_the_deliveries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], receiver: Receiver
) -> None:
    failed = write_run(tmp_path / "8", ALONE)
    file = config(tmp_path / "n.yaml", f"notify:\n  webhooks:\n    - url: {receiver.url}\n      tries: 1\n")
    status, made = run(capsys, failed, "--config", file)
    assert (status, made["notice"]["exit"]) == (0, 1), "the run failed; telling it did not"
    assert made["deliveries"][0]["ok"] is True
    assert receiver.sent()["directory"] == str(failed)

    receiver.failures = [500]
    status, made = run(capsys, failed, "--config", file)
    assert (status, made["notice"]["exit"]) == (4, 1)
    assert "answered 500" in made["deliveries"][0]["message"]
    receiver.failures = [500]
    assert cli.main(["notify", str(failed), "--config", str(file)]) == 4
    assert capsys.readouterr().out.startswith(f"FAILED webhook 1 (127.0.0.1:{receiver.port}): answered 500")

    assert cli.main(["notify", str(write_run(tmp_path / "7", FIXED)), "--config", str(file)]) == 0
    assert "nobody wants to know" in capsys.readouterr().out
    assert len(receiver.bodies) == 3


def test_a_dry_run_sends_nothing_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], receiver: Receiver
) -> None:
    failed = write_run(tmp_path / "8", ALONE)
    text = f"notify:\n  webhooks:\n    - url: {receiver.url}\n      token: {{env: NOT_SET}}\n"
    file = config(tmp_path / "n.yaml", text)
    status, made = run(capsys, failed, "--config", file, "--dry-run")
    assert status == 4
    assert made["to"] == [f"webhook 1 (127.0.0.1:{receiver.port})"]
    assert "NOT_SET" in made["missing"][0]
    assert cli.main(["notify", str(failed), "--config", str(file), "--dry-run"]) == 4
    shown = capsys.readouterr()
    assert "exit status 1" in shown.out
    assert "NOT_SET" in shown.err
    assert receiver.bodies == []


@pytest.mark.parametrize(("name", "status"), [("absent", 2), ("empty", 2)])
def test_a_directory_without_anything_to_tell_is_refused(tmp_path: Path, name: str, status: int) -> None:
    (tmp_path / "empty").mkdir()
    file = config(tmp_path / "n.yaml", "notify: {}\n")
    assert cli.main(["notify", str(tmp_path / name), "--config", str(file)]) == status
