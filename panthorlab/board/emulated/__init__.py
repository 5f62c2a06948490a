# SPDX-License-Identifier: GPL-2.0-or-later
"""An emulated board: unmodified QEMU, the emulated GPU in a separate process, and a root file system of ours."""
