# SPDX-License-Identifier: GPL-2.0-or-later
"""The serial console of a real board: connections to it, the one reader, and conversations."""
