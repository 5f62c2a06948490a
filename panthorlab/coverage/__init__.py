# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lines of the driver ran: instruction counts from the board, mapped to lines and functions by DWARF."""
