# SPDX-License-Identifier: GPL-2.0-or-later
"""Random sequences of panthor's calls and of GPU misdeeds, from a seed; and shrinking one that shows a bug to the lines
that it needs. Pure: `panthorlab.run.fuzz` performs them on a board."""
