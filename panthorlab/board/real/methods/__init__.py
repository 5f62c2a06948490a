# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways to get a kernel under test to run on a real board, one module each."""
