# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab explore`: many short runs in exact time, each with other latencies. See docs/exact-time.md."""
