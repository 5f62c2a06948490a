# SPDX-License-Identifier: GPL-2.0-or-later
"""panthorlab: does a panthor patch do what it claims, on a Mali CSF GPU, without breaking anything else?

Data flows one way: patch → sources → kernel build → boot → iterations → log records → findings →
statistics → verdict → reports. `docs/contributor.md` shows the architecture on one page.
"""

__version__ = "0.1.0"
