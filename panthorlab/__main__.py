# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m panthorlab`."""

import sys

from panthorlab.cli import main

sys.exit(main())
