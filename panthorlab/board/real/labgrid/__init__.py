# SPDX-License-Identifier: GPL-2.0-or-later
"""A place of a labgrid coordinator as a board's console, power and SSH."""
