# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab bisect`: which commit of a git tree a fault of the GPU came with.

`search.py` decides, from the log alone, what is built and booted next; `hands.py` builds and boots it; `command.py`
puts both together; `step.py` is the script for `git bisect run`."""
