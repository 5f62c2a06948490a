# SPDX-License-Identifier: GPL-2.0-or-later
"""Telling people and programs what came of a run or a night: by webhook and by mail, to those that a file names.

Nothing is sent unless a configuration says where to. What is told is a `Notice`, whatever it is made from. A delivery
that fails is reported as one that failed, and is nobody's verdict.
"""
