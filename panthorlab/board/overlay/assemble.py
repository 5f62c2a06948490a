# SPDX-License-Identifier: GPL-2.0-or-later
"""Making an overlay: packages by hash, unpacked and never installed; of them what the programs need, in the cache."""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

from panthorlab.board.debs import PrivateApt, Progress, debian_mirror, download, unpack
from panthorlab.board.overlay.closure import closure
from panthorlab.board.overlay.table import LIBRARIES, RECIPES, SUITE, Recipe
from panthorlab.errors import LabError, UsageError
from panthorlab.files import exclusive
from panthorlab.paths import cache_dir

ARCHITECTURE = "arm64"
RECORD = "overlay.json"
FILES = "files"


def find(name: str, progress: Progress) -> Path:
    """The directory of the overlay `name`, made now if it is not in the cache. Raises UsageError, LabError."""
    recipe = RECIPES.get(name)
    if recipe is None:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        raise UsageError(
            f"there is no overlay `{name}`, and no directory of that name",
            hint=f"did you mean `{near[0]}`?" if near else f"overlays: {', '.join(RECIPES)}; or name a directory",
        )
    return made(name, recipe, progress)


def made(name: str, recipe: Recipe, progress: Progress, *, again: bool = False) -> Path:
    """As `find`, for any recipe. `again`: with the newest packages, even if it is there."""
    home = cache_dir("overlays", name)
    digest = hashlib.sha256(json.dumps([SUITE, asdict(recipe)]).encode()).hexdigest()
    waiting = partial(progress, f"waiting for another run that makes overlay {name}")
    with exclusive(home / "lock", f"the overlay {name}", waiting):
        if not again and _digest_of(home) == digest:
            return home / FILES
        mirror = debian_mirror()
        progress(f"looking up the packages of overlay {name}")
        debs = PrivateApt(cache_dir("overlays", "apt"), mirror, [SUITE], ARCHITECTURE).resolve(*recipe.packages)
        paths = download(debs, mirror, cache_dir("overlays", "packages"), progress)
        progress(f"unpacking {len(paths)} packages")
        with tempfile.TemporaryDirectory(dir=home, prefix="new-") as scratch:
            root, files = Path(scratch, "root"), Path(scratch, FILES)
            unpack(paths, root)
            _copy(root, files, recipe)
            shutil.rmtree(home / FILES, ignore_errors=True)
            (home / RECORD).unlink(missing_ok=True)
            files.rename(home / FILES)
        record = {"recipe": digest, "suite": SUITE, "packages": {deb.name: deb.sha256 for deb in debs}}
        (home / RECORD).write_text(json.dumps(record, indent=1))
    return home / FILES


def _digest_of(home: Path) -> str | None:
    """Of the recipe by which the overlay in `home` was made; None if there is none, or its record is damaged."""
    try:
        digest: str = json.loads((home / RECORD).read_text())["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return digest if (home / FILES).is_dir() else None


def _copy(root: Path, files: Path, recipe: Recipe) -> None:
    for path, target in sorted(closure(root, (*recipe.programs, *recipe.loaded), LIBRARIES).items()):
        place = files / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if target is None:
            shutil.copy2(root / path.lstrip("/"), place)
        else:
            place.symlink_to(target)
    for path in recipe.data:
        source, place = root / path.lstrip("/"), files / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True)
        elif source.is_file():
            shutil.copy2(source, place)
        else:
            raise LabError(f"{path} is in none of the packages {', '.join(recipe.packages)}")
    for path, target in recipe.links:
        place = files / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
