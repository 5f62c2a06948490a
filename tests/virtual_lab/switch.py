# SPDX-License-Identifier: GPL-2.0-or-later
"""`python switch.py URL`: press a button of the relay. It is what pdudaemon runs to switch an outlet."""

import sys
from urllib.request import urlopen

with urlopen(sys.argv[1], timeout=60) as answer:  # noqa: S310 - the URL is the lab's own
    sys.exit(answer.status != 200)
