# SPDX-License-Identifier: GPL-2.0-or-later
"""The patches: from what the user calls them to what they leave in a tree. Start reading at `spec.py`."""
