# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab without hardware, made of real parts: QEMU with U-Boot as the board, ser2net, TFTP, pdudaemon, Dropbear.

panthorlab sees of it what it sees of any lab: a console on TCP, a power switch on HTTP, SSH, a TFTP directory.
"""
