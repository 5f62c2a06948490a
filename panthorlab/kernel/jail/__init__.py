# SPDX-License-Identifier: GPL-2.0-or-later
"""Running untrusted code of a tree or patch, and reading the files it has written. Start reading at `sandbox.py`."""
