# SPDX-License-Identifier: GPL-2.0-or-later
"""Exact time on an emulated board: QEMU counts instructions, and the guest runs only while the host waits for it."""
