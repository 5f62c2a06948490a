# SPDX-License-Identifier: GPL-2.0-or-later
"""An emulated board: unmodified QEMU, with the emulated GPU in a process beside it, and a root file system of ours."""
