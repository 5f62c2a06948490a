# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests need: signals as in a terminal, and how hard the property tests try.

A shell starts background jobs with SIGINT ignored, `nohup` with SIGHUP, and so it would stay for the programs that
tests interrupt.
Properties get few examples, for unit tests are run all the time; `--hypothesis-profile=full` gives them many. None has
a deadline: machines are busy.
"""

from __future__ import annotations

import signal

from hypothesis import settings

settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("full", max_examples=1000, deadline=None)
settings.load_profile("quick")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
