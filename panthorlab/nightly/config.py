# SPDX-License-Identifier: GPL-2.0-or-later
"""nightly.yaml: which branches of which trees, with which kernel configs, are tested every night, and how."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from panthorlab.board.fields import Section
from panthorlab.board.yamlfile import load, read_yaml
from panthorlab.quantities import duration

SCHEMES: Final = ("https", "ssh", "git", "file")
_SCP: Final = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^\s:][^\s]*", re.ASCII)
_BRANCH: Final = re.compile(r"[A-Za-z0-9_+=,][A-Za-z0-9_.+=,/-]*", re.ASCII)


def _seconds(text: str) -> str:
    try:
        duration(text)
    except ArgumentTypeError as error:
        raise ValueError(str(error)) from None
    return text


def _url(text: str) -> str:
    """Of a repository: nothing that git would take for an option, for a program to run, or for a password."""
    if not text or text.startswith("-") or not text.isprintable() or " " in text:
        raise ValueError("must be the address of a git repository")
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"must begin with {', '.join(f'{name}://' for name in SCHEMES)}, or be a path")
        if parts.password:
            raise ValueError("has a password in it: git's credential helpers, or SSH keys, keep those")
    elif "::" in text or (":" in text and not _SCP.fullmatch(text) and not text.startswith(("/", "."))):
        raise ValueError("must be a URL, USER@HOST:PATH, or a path")
    return text


def _branch(text: str) -> str:
    """What git takes for a branch, and what is a path below a directory, too."""
    parts = text.split("/")
    if not _BRANCH.fullmatch(text) or any(
        not part or part.startswith(".") or part.endswith((".lock", ".")) or ".." in part for part in parts
    ):
        raise ValueError("must be the name of a branch, without refs/heads/")
    return text


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]
Duration = Annotated[str, AfterValidator(_seconds)]
GitUrl = Annotated[str, AfterValidator(_url)]
Branch = Annotated[str, AfterValidator(_branch), Field(max_length=200)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class Tree(Section):
    """A git repository, and its branches that are tested."""

    name: Name
    url: GitUrl
    branches: Annotated[list[Branch], Field(min_length=1)]


class KernelSection(Section):
    """A way to build each branch. `config`: fragments, as `--config` takes them; `boards`: instead of the file's."""

    name: Name
    config: list[Text] = Field([])
    boards: Annotated[list[Text], Field(min_length=1)] | None = None


class Bisecting(Section):
    """How what is new is searched for. `boots`: of an end at most, as `panthorlab bisect --boots`."""

    enabled: bool = True
    boots: Annotated[int, Field(ge=1, le=10_000)] = 24


class NightlyFile(Section):
    """The whole file. Paths in it are from where it is.

    `boots`: two at least, for one says nothing of what differs from boot to boot. `budget`: of a night, bisects and
    all; none: as long as it takes. `known`: lists of known findings, as `--known` takes them. `notify`: a file that
    says who is told of each night, as `panthorlab notify --config` takes it; none: nobody. The rest is as the options
    of `panthorlab run` with that name.
    """

    title: Annotated[str, Field(min_length=1, max_length=200)] = "panthor nightly"
    state: Text = "nightly.state"
    trees: Annotated[list[Tree], Field(min_length=1)]
    kernels: list[KernelSection] = Field([KernelSection(name="plain", config=[])], min_length=1)
    boards: list[Text] = Field(["qemu-g610"], min_length=1)
    suites: list[Text] = Field([])
    overlay: Text | None = None
    boots: Annotated[int, Field(ge=2, le=10_000)] = 2
    iterations: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    jobs: Annotated[int, Field(ge=1, le=1000)] = 2
    deep: bool = False
    time: Literal["exact", "host"] | None = None
    param: list[Text] = Field([])
    seed: int = 1
    wait: Duration = "1h"
    budget: Duration | None = None
    known: list[Text] = Field([])
    bisect: Bisecting = Bisecting()
    notify: Text | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for what, names in (("tree", [one.name for one in self.trees]), ("kernel", [one.name for one in self.kernels])):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"two {what}s are called `{twice}`")
        for tree in self.trees:
            if twice := next((name for name in tree.branches if tree.branches.count(name) > 1), None):
                raise ValueError(f"the tree `{tree.name}` has the branch `{twice}` twice")
        return self


def read_config(file: Path) -> NightlyFile:
    """Raises ConfigError with file:line:column."""
    data, places = read_yaml(file)
    return load(file, NightlyFile, data, places)
