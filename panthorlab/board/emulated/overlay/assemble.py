# SPDX-License-Identifier: GPL-2.0-or-later
"""Making an overlay in the cache: packages are fetched by hash and unpacked, never installed; only files that the
programs need are kept."""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

from panthorlab.board.emulated.overlay.closure import closure
from panthorlab.board.emulated.overlay.compile import compile_into
from panthorlab.board.emulated.overlay.compile import digest as source_digest
from panthorlab.board.emulated.overlay.table import LIBRARIES, RECIPES, Part, Recipe
from panthorlab.debs import Deb, PackageResolver, ProgressCallback, debian_mirror, download, unpack
from panthorlab.errors import LabError, UsageError
from panthorlab.files import exclusive
from panthorlab.paths import cache_dir

RECORD = "overlay.json"
FILES = "files"


def find(name: str, progress: ProgressCallback) -> Path:
    """The directory of the overlay `name`, created if it is not in the cache. Raises UsageError, LabError."""
    recipe = RECIPES.get(name)
    if recipe is None:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        raise UsageError(
            f"there is no overlay `{name}`, and no directory of that name",
            hint=f"did you mean `{near[0]}`?" if near else f"overlays: {', '.join(RECIPES)}; or name a directory",
        )
    return made(name, recipe, progress)


def made(name: str, recipe: Recipe, progress: ProgressCallback, *, again: bool = False) -> Path:
    """As `find`, for any recipe. `again`: rebuild with the newest packages even if it is in the cache."""
    home = cache_dir("overlays", name)
    digest = recipe_digest(recipe)
    waiting = partial(progress, f"waiting for another run that makes overlay {name}")
    with exclusive(home / "lock", f"the overlay {name}", waiting):
        if not again and _digest_of(home) == digest:
            return home / FILES
        with tempfile.TemporaryDirectory(dir=home, prefix="new-") as scratch:
            files = Path(scratch, FILES)
            packages: dict[str, str] = {}
            for number, part in enumerate(recipe.parts):
                root = Path(scratch, f"root-{number}")
                packages |= {deb.name: deb.sha256 for deb in _unpacked(name, part, root, progress)}
                for built in part.built:
                    progress(f"compiling {built.source}")
                    compile_into(root, built)
                _copy(root, files, part)
            _finish(files, recipe)
            shutil.rmtree(home / FILES, ignore_errors=True)
            (home / RECORD).unlink(missing_ok=True)
            files.rename(home / FILES)
        (home / RECORD).write_text(json.dumps({"recipe": digest, "packages": packages}, indent=1))
    return home / FILES


def recipe_digest(recipe: Recipe) -> str:
    """Digest of the recipe and of the sources of what is compiled. Where nothing is, as if there were no such thing:
    overlays that older versions have made stay good."""
    plain = asdict(recipe)
    for part, facts in zip(recipe.parts, plain["parts"], strict=True):
        facts["built"] = [(*asdict(built).values(), source_digest(built)) for built in part.built]
        if not part.built:
            del facts["built"]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def _digest_of(home: Path) -> str | None:
    """Digest of the recipe of the overlay in `home`; None if there is no overlay, or its record is damaged."""
    try:
        digest: str = json.loads((home / RECORD).read_text())["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return digest if (home / FILES).is_dir() else None


def _unpacked(name: str, part: Part, root: Path, progress: ProgressCallback) -> list[Deb]:
    """Unpack the packages of `part` into `root`; returns them."""
    mirror = debian_mirror()
    progress(f"looking up the packages of overlay {name}: {part.suite} {part.architecture}")
    apt_home = cache_dir("overlays", f"apt-{part.suite}-{part.architecture}")
    debs = PackageResolver(apt_home, mirror, [part.suite], part.architecture).resolve(*part.packages)
    paths = download(debs, mirror, cache_dir("overlays", "packages"), progress)
    progress(f"unpacking {len(paths)} packages")
    unpack(paths, root)
    return debs


def _copy(root: Path, files: Path, part: Part) -> None:
    libraries = LIBRARIES[part.architecture]
    wanted = closure(root, (*part.programs, *part.loaded), libraries, frozenset(part.elsewhere))
    for path, target in sorted(wanted.items()):
        if target is None:
            shutil.copy2(root / path.lstrip("/"), _place(files, path))
        else:
            _place(files, path).symlink_to(target)
    for path in part.data:
        source = root / path.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, _place(files, path), symlinks=True)
        elif source.is_file():
            shutil.copy2(source, _place(files, path))
        else:
            raise LabError(f"{path} is in none of the packages {', '.join(part.packages)}")


def _finish(files: Path, recipe: Recipe) -> None:
    for path, target in recipe.links:
        _place(files, path).symlink_to(target)
    for path, text in recipe.scripts:
        _place(files, path).write_text(text)
        _place(files, path).chmod(0o755)


def _place(files: Path, path: str) -> Path:
    place = files / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place
