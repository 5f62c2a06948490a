# SPDX-License-Identifier: GPL-2.0-or-later
"""Exact time: the GPU's clock is the guest's instruction count, so a seed defines a run. See docs/exact-time.md."""
