# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways to get a kernel under test to run on a real board, one small module each: see `BootMethod`."""
