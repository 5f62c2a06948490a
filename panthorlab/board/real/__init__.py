# SPDX-License-Identifier: GPL-2.0-or-later
"""A real board in a lab: console, power, SSH and boot methods, put together from a board file."""
