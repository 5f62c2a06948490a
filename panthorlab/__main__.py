# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m panthorlab`."""

import sys

if not sys.flags.safe_path:  # `-m` puts the current directory first: somebody else's checkout may have a yaml.py
    del sys.path[0]

from panthorlab.cli import main

sys.exit(main())
