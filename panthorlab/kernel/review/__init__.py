# SPDX-License-Identifier: GPL-2.0-or-later
"""What reviewers find in a commit without running it: style, tags, compiler warnings."""
