# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.virtual_lab up|down|run|status`: the lab in the background, or around one command."""

from __future__ import annotations

import sys

from tests.virtual_lab.command import main

sys.exit(main(sys.argv[1:]))
