# SPDX-License-Identifier: GPL-2.0-or-later
"""LAVA jobs: a suite on a kernel, run by a lab that boots boards in its own way and has no controller beside them."""
