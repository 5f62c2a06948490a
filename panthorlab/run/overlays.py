# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab overlay`, and `--overlay NAME|DIR` of other commands: real programs for an emulated board."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from panthorlab.board.emulated.overlay.assemble import find, made
from panthorlab.board.emulated.overlay.table import BOARD, LIBRARIES, RECIPES, Part, Recipe
from panthorlab.errors import UsageError
from panthorlab.run.progress import ProgressDisplay


def main(options: argparse.Namespace) -> int:
    """Print the directory of an overlay, made first if need be; without a name, what there is."""
    progress = ProgressDisplay(quiet=options.quiet)
    try:
        if options.packages:
            files = _own(options, progress)
        elif options.overlay_name is not None:
            files = find(options.overlay_name, progress.step)
        else:
            return _list(as_json=options.json)
    finally:
        progress.finish()
    print(json.dumps({"overlay": str(files)}) if options.json else files)
    return 0


def overlay_dir(name: str | None, progress: ProgressDisplay) -> Path | None:
    """What `--overlay` names: one of ours by its name, or a directory. Raises UsageError, LabError."""
    if name is None:
        return None
    if name in RECIPES or not Path(name).is_dir():
        return find(name, progress.step)
    return Path(name).resolve()


def _own(options: argparse.Namespace, progress: ProgressDisplay) -> Path:
    if not options.overlay_name or not options.programs:
        raise UsageError(
            "an overlay of one's own has a name, packages and programs",
            hint="e.g. panthorlab overlay clpeak --from clpeak --program /usr/bin/clpeak",
        )
    if options.overlay_name in RECIPES or not options.overlay_name.replace("-", "").isalnum():
        raise UsageError(
            f"an overlay of one's own cannot be called `{options.overlay_name}`",
            hint="letters, digits and dashes, and no name that panthorlab has itself",
        )
    loaded = tuple(path if path.startswith("/") else f"{LIBRARIES[BOARD]}/{path}" for path in options.load)
    recipe = Recipe((Part(tuple(options.packages), tuple(options.programs), loaded, tuple(options.data)),))
    return made(options.overlay_name, recipe, progress.step, again=True)


def _list(*, as_json: bool) -> int:
    if as_json:
        print(
            json.dumps(
                {
                    "overlays": [
                        {"name": name, "about": recipe.about, "packages": list(recipe.packages)}
                        for name, recipe in RECIPES.items()
                    ]
                },
                indent=1,
            )
        )
    else:
        for name, recipe in RECIPES.items():
            print(f"{name:14} {recipe.about}")
    return 0
