# SPDX-License-Identifier: GPL-2.0-or-later
"""An argument parser whose errors are exceptions that say what was probably meant."""

from __future__ import annotations

import argparse
import difflib
from typing import Any, NoReturn

from panthorlab.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Errors are raised, with what was probably meant, so that they can be printed as JSON too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)  # abbreviations would break with the next option

    def error(self, message: str) -> NoReturn:
        commands = [name for action in self.subparsers_actions() for name in action.choices]
        wrong = message.partition("invalid choice: '")[2].partition("'")[0]
        if wrong and "argument" in message and commands:
            near = difflib.get_close_matches(wrong, commands, n=1)
            known = f"did you mean `{near[0]}`?" if near else f"see `{self.prog} --help`"
            path = [*self.prog.split()[1:], wrong]
            raise UsageError(f"there is no command `{' '.join(path)}`", hint=known)
        raise UsageError(message, hint=f"see `{self.prog} --help`")

    def options_of(self, command: str) -> list[str]:
        """All options that `command` knows."""
        parser = next(action.choices[command] for action in self.subparsers_actions())
        own = [name for action in parser._actions for name in action.option_strings]
        return own + [
            name
            for action in parser.subparsers_actions()
            for deeper in action.choices
            for name in parser.options_of(deeper)
        ]

    def subparsers_actions(self) -> list[argparse._SubParsersAction[Parser]]:
        return [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
