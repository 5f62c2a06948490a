# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorded register accesses of a driver on a board, and the emulated GPU fed with them: where do the two differ?"""
