# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual lab, for the tests of this directory."""

from tests.virtual_lab.fixtures import lab, virtual_lab, virtual_lab_of_two

__all__ = ["lab", "virtual_lab", "virtual_lab_of_two"]
