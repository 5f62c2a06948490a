# SPDX-License-Identifier: GPL-2.0-or-later
"""Where kernel trees come from, and the private tree that each is unpacked into. Start reading at `spec.py`."""
