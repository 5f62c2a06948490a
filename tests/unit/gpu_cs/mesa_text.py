# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions as the model decodes them in the words of Mesa's decoder, to compare both. Only of what Mesa has been
seen to print: anything else raises KeyError, and a table here wants a new row."""

from __future__ import annotations

from collections.abc import Callable

from panthorlab.gpu.cs.codec import Instruction

_CONDITIONS = {0: "le", 1: "gt", 2: "eq", 3: "ne", 4: "lt", 5: "ge", 6: "always"}
_SCOPES = {2: ".csg"}
_HEAP = {0: "vt_start", 1: "vt_end"}
_FLUSH = {0: "nop", 1: "clean", 2: "invalidate", 3: "clean_invalidate"}
_AXES = {0: "x_axis"}
_ORDERS = {0: "zorder"}
_RESOURCES = ("compute", "fragment", "tiler", "idvs")


def mesa_text(one: Instruction) -> str:
    """As Mesa 25 prints it; 26 says MOVE48 for MOVE."""
    return _TEXT[one.spec.mnemonic](one)


def _place(one: Instruction) -> str:
    offset = f" + {one['offset']}" if one["offset"] else ""
    return f"[d{one['addr']}{offset}]"


def _registers(one: Instruction) -> str:
    return ":".join(f"r{one['base'] + n}" for n in range(16) if one["mask"] >> n & 1)


def _deferred(one: Instruction) -> str:
    return f"#{one['wait']:x}, #{one['signal']}"


def _sync_write(one: Instruction) -> str:
    name, data = one.spec.mnemonic, "r" if one.spec.mnemonic.endswith("32") else "d"
    errors = ".error_propagate" if one["propagate"] else ""
    return f"{name}{errors}{_SCOPES[one['scope']]} [d{one['addr']}], {data}{one['data']}, {_deferred(one)}"


def _sync_wait(one: Instruction) -> str:
    name, data = one.spec.mnemonic, "r" if one.spec.mnemonic.endswith("32") else "d"
    errors = "reject" if one["reject"] else "inherit"
    return f"{name}{_CONDITIONS[one['cond']]}.{errors} d{one['addr']}, {data}{one['data']}"


def _finish_fragment(one: Instruction) -> str:
    end = ".frag_end" if one["frag_end"] else ""
    return f"FINISH_FRAGMENT{end} d{one['last']}, d{one['first']}, {_deferred(one)}"


def _flush(one: Instruction) -> str:
    what = f"{_FLUSH[one['l2']]}_l2.{_FLUSH[one['lsc']]}_lsc.{_FLUSH[one['other']]}_other"
    return f"FLUSH_CACHE2.{what} r{one['flush_id']}, {_deferred(one)}"


def _run_compute(one: Instruction) -> str:
    tables = "".join(f".{name}{one[name]}" for name in ("srt", "spd", "tsd", "fau"))
    return f"RUN_COMPUTE.{_AXES[one['axis']]}{tables} #{one['task_increment']}"


def _run_idvs(one: Instruction) -> str:
    if not one["malloc"] or one["draw_id_enable"] or one["progress"]:
        raise KeyError(f"{one}: Mesa has not been seen to print this")
    varying = "".join(f".varying_{name}{one[f'varying_{name}']}" for name in ("srt", "fau", "tsd"))
    fragment = "".join(f".frag_{name}{one[f'fragment_{name}']}" for name in ("srt", "tsd"))
    return f"RUN_IDVS{varying}{fragment} r{one['draw_id']}, #{one['flags']:x}"


_TEXT: dict[str, Callable[[Instruction], str]] = {
    "NOP": lambda one: {0: "NOP"}[one["ignored"]],
    "MOVE": lambda one: f"MOVE d{one['dst']}, #0x{one['imm']:X}",
    "MOVE32": lambda one: f"MOVE32 r{one['dst']}, #0x{one['imm']:X}",
    "WAIT": lambda one: f"WAIT #{one['wait']:x}",
    "RUN_COMPUTE": _run_compute,
    "RUN_IDVS": _run_idvs,
    "RUN_FRAGMENT": lambda one: f"RUN_FRAGMENT{'.tem' * one['tem']}.tile_order={_ORDERS[one['tile_order']]}",
    "FINISH_TILING": lambda _: "FINISH_TILING",
    "FINISH_FRAGMENT": _finish_fragment,
    "ADD_IMM32": lambda one: f"ADD_IMMEDIATE32 r{one['dst']}, r{one['src']}, #{one['imm']}",
    "ADD_IMM64": lambda one: f"ADD_IMMEDIATE64 d{one['dst']}, d{one['src']}, #{one['imm']}",
    "LOAD_MULTIPLE": lambda one: f"LOAD_MULTIPLE {_registers(one)}, {_place(one)}",
    "STORE_MULTIPLE": lambda one: f"STORE_MULTIPLE {_place(one)}, {_registers(one)}",
    "BRANCH": lambda one: f"BRANCH.{_CONDITIONS[one['cond']]} r{one['value']}, #{one['offset']}",
    "SET_SB_ENTRY": lambda one: f"SET_SB_ENTRY #{one['endpoint']}, #{one['other']}",
    "SET_EXCEPTION_HANDLER": lambda one: f"SET_EXCEPTION_HANDLER d{one['addr']}, r{one['length']}",
    "REQ_RESOURCE": lambda one: "REQ_RESOURCE" + "".join(f".{name}" for name in _RESOURCES if one[name]),
    "FLUSH_CACHE2": _flush,
    "SYNC_ADD32": _sync_write,
    "SYNC_ADD64": _sync_write,
    "SYNC_SET32": _sync_write,
    "SYNC_WAIT32": _sync_wait,
    "SYNC_WAIT64": _sync_wait,
    "HEAP_SET": lambda one: f"HEAP_SET d{one['addr']}",
    "HEAP_OPERATION": lambda one: f"HEAP_OPERATION.{_HEAP[one['operation']]} {_deferred(one)}",
}
