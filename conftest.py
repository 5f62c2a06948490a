# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures and options for `pytest suites --board NAME --kernel K`; they live in `panthorlab.run.plugin`."""

pytest_plugins = ["panthorlab.run.plugin"]
