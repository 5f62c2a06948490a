# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab nightly`: every night the branches of some trees are built, tested and compared with the last good night.

`config` reads nightly.yaml, `plan` says which kernels that makes; `mirror` fetches; `judge` compares two nights by the
rules of `panthorlab.verdict`, `expectations` holds them against lists of known findings; `culprit` bisects what is new.
`record` has the events of all nights, from which `state` knows what is to be done. `model` is what comes of a night.
"""
