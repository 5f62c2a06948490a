# SPDX-License-Identifier: GPL-2.0-or-later
"""From a plan to a kernel in the store: config, compiler, make, guest programs. Start reading at `attempts.py`."""
