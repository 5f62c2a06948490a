# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion of the command line in a shell. It reads the options, so it stands above them."""

from __future__ import annotations

import argparse

import shtab

from panthorlab.options import make_parser


def main(options: argparse.Namespace) -> int:
    """`panthorlab completion SHELL`: made from the options themselves."""
    print(shtab.complete(make_parser(), shell=options.shell))
    return 0
