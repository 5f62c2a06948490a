# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands and files on a real board over SSH."""
