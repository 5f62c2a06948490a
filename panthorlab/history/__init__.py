# SPDX-License-Identifier: GPL-2.0-or-later
"""Many runs taken together: what was seen when, on which kernel and board, and how often.

`find` looks for run directories, `facts` makes of one log what is kept of it, `database` keeps that, `trends` counts
over all of it, `pages` shows it. The database is derived: whatever is in it comes from run directories, and again if
asked.
`listing`, `changes` and `prune` are the commands on single runs.
"""
