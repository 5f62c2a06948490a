# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels: sources, patches, config, build, and the store of finished ones. Start reading at `job.py`.

Its layers, each of which imports only those below it, are in `docs/contributor.md`.
"""
