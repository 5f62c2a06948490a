# SPDX-License-Identifier: GPL-2.0-or-later
"""Boards shared by people and machines: who has which, in what state it is, and how it is given back."""
