# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots on other machines (`--hosts`), through Dask's `distributed`: `crew.py` is this side, `desk.py` is theirs."""
