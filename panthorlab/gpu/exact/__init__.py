# SPDX-License-Identifier: GPL-2.0-or-later
"""Exact time: the GPU lives in the guest's instructions, so that one seed is one run. See docs/exact-time.md."""
