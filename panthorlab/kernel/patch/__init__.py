# SPDX-License-Identifier: GPL-2.0-or-later
"""From what the user calls a patch to what it leaves in a tree. Start reading at `read.py`."""
