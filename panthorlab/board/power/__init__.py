# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching a board's power: one small driver a kind of switch, and the care that all of them need."""
