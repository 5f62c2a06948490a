# SPDX-License-Identifier: GPL-2.0-or-later
"""Running what a tree or a patch may have written, and reading what that has left. Start reading at `sandbox.py`."""
