# SPDX-License-Identifier: GPL-2.0-or-later
"""From the user's name for a patch to the changed files of a tree. Start reading at `read.py`."""
