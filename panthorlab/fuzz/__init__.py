# SPDX-License-Identifier: GPL-2.0-or-later
"""Random sequences of panthor's calls and of GPU misdeeds, from a seed; and what is left of one that shows a bug when
all lines are gone that it does not need. Pure: `panthorlab.run.fuzz` performs them on a board."""
