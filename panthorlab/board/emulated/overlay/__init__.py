# SPDX-License-Identifier: GPL-2.0-or-later
"""Real userspace for emulated boards: Debian's own Mesa and other clients, laid over the root file system."""
