# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel logs: records, findings, signatures, iteration windows: pure functions over iterators, nothing to install."""

from panthorlab.kmsg.explain import explain
from panthorlab.kmsg.findings import FindingParser, find
from panthorlab.kmsg.markers import Window, WindowTracker, windows
from panthorlab.kmsg.model import JSON_FIELDS, Finding
from panthorlab.kmsg.objects import GpuObject, owner_of, parse_objects, with_owner
from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.records import LogRecord, RecordReader
from panthorlab.kmsg.scan import LogScanner, scan, scan_bytes
from panthorlab.kmsg.scan_command import scan_main

__all__ = [
    "JSON_FIELDS", "Finding", "FindingParser", "GpuObject", "Kind", "LogRecord", "LogScanner", "RecordReader", "Window",
    "WindowTracker", "explain", "find", "owner_of", "parse_objects", "scan", "scan_bytes", "scan_main", "windows",
    "with_owner",
]  # fmt: skip
