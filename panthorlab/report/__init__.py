# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports: each module with a `render(report)` that is a pure function of a `RunReport` (`model`)."""
