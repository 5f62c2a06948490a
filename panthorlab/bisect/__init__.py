# SPDX-License-Identifier: GPL-2.0-or-later
"""Which commit a fault came with, if a boot shows it only sometimes: the graph of commits, what boots say of each, and
what to boot next. Pure: nothing here knows git, kernels or boards."""
