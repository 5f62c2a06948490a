# SPDX-License-Identifier: GPL-2.0-or-later
"""The vfio-user server for one client: carries out QEMU's requests on a GPU.

The hot path is a guest register access: receive into one buffer, parse the header in place, call the register's
handler, send from one buffer. All other requests go through `Message` objects.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable

from panthorlab.gpu import pci
from panthorlab.gpu.device import GpuDevice
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.vfio import protocol as p
from panthorlab.gpu.vfio.protocol import Command, DmaFlag, Flag, FramingError, IrqFlag, Message, ProtocolError

BUFFER = 2 * p.MAX_MESSAGE
ANCILLARY = socket.CMSG_SPACE(16 * 4)
WRITE_REPLY = struct.Struct("<HHIIIQII")  # header, region access
READ32_REPLY = struct.Struct("<HHIIIQIII")  # header, region access, one register
REMEMBERED = 64  # number of messages in a reproducer
# Plain integers: an operation on an enum member costs more than all the handling of a posted write.
READ, WRITE, REPLY, NO_REPLY = (
    int(value) for value in (Command.REGION_READ, Command.REGION_WRITE, Flag.REPLY, Flag.NO_REPLY)
)
Done = Callable[[], None]


def _nothing() -> None:
    """Default for `arrive` and `leave`."""


class Server:
    """Owns the connection. Calls `on_close` once, when the client has gone or broken the protocol."""

    def __init__(self, connection: socket.socket, gpu: GpuDevice, reporter: Reporter, on_close: Done) -> None:
        self.arrive: Done = _nothing  # called when a message is served, while the guest's CPU waits
        self.leave: Done = _nothing  # called before its answer; both not for register accesses, see ExactGpu
        self._socket = connection
        self._gpu, self._reporter, self._on_close = gpu, reporter, on_close
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._fds: list[int] = []  # received with the message that ends at _fds_end
        self._fds_end = 0
        self._message_end = 0
        self._question = 0  # ident of our last request to the client
        self._open_question = False
        self._closed = False
        self._out = bytearray(READ32_REPLY.size)
        self._recent: deque[bytes] = deque(maxlen=REMEMBERED)
        self._config = pci.ConfigSpace(coherent=gpu.coherency.coherent)
        gpu.pci_command(self._config.command)
        self._commands: dict[int, Callable[[Message], bytes]] = {
            Command.VERSION: lambda m: p.version_reply(m.body),
            Command.DMA_MAP: self._dma_map,
            Command.DMA_UNMAP: self._dma_unmap,
            Command.GET_INFO: self._get_info,
            Command.GET_REGION_INFO: self._region_info,
            Command.GET_IRQ_INFO: self._irq_info,
            Command.SET_IRQS: self._set_irqs,
            Command.REGION_READ: self._region_read,
            Command.REGION_WRITE: self._region_write,
            Command.DEVICE_RESET: self._device_reset,
        }

    def fileno(self) -> int:
        return self._socket.fileno()

    def reproducer(self) -> str:
        """The last messages received, as hexadecimal text."""
        return "\n".join(message.hex() for message in self._recent)

    def _close_fds(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def close(self) -> None:
        """Release all resources: the connection and the guest's file descriptors."""
        self._close_fds()
        self._socket.close()
        for irq in self._gpu.irqs:
            irq.connect(None)

    # --- receiving

    def readable(self) -> None:
        """Receive available bytes and answer every complete message."""
        try:
            size, ancillary, _, _ = self._socket.recvmsg_into([self._view[self._end :]], ANCILLARY)
        except ConnectionError:
            size, ancillary = 0, []
        if not size:
            self._end_connection()
            return
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._fds.extend(struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4]))
        self._end += size
        if ancillary:
            self._fds_end = self._end
        try:
            self._messages()
        except FramingError as error:
            self._reporter.check("framing", f"the client sends {error}; the connection is closed")
            self._end_connection()
        except ConnectionError:
            self._end_connection()

    def _end_connection(self) -> None:
        self._closed = True
        self._on_close()

    def round_trip(self) -> None:
        """Read a word of guest memory from the client and wait for the reply. Then the client has processed all earlier
        messages, since QEMU's main loop works in order. Returns at once when the client has gone."""
        self._question = (self._question + 1) & 0xFFFF
        question = p.REGION_ACCESS.pack(self._gpu.ram.first, 4, 0)
        try:
            self._socket.sendall(Message(self._question, Command.DMA_READ, 0, 0, question).encode())
        except ConnectionError:
            self._end_connection()
            return
        self._open_question = True
        while self._open_question and not self._closed:
            self.readable()

    def _messages(self) -> None:
        buffer = self._buffer
        start, end = self._start, self._end
        while (size := p.message_size(buffer, start, end)) and start + size <= end:
            self._start = start + size
            self._recent.append(bytes(self._view[start : start + min(size, 256)]))
            if not (size == 32 and self._read_register(start)) and not (size == 36 and self._write_register(start)):
                self._message_end = start + size
                self._dispatch(p.decode(buffer, start, size))
            start += size
            if self._fds and self._fds_end <= start:
                self._close_fds()  # the message did not use its descriptors
        if start == end:
            self._start = self._end = 0
        elif BUFFER - start < p.MAX_MESSAGE:
            rest = end - start
            buffer[:rest] = buffer[start:end]
            self._start, self._end = 0, rest
            self._fds_end -= start

    def _read_register(self, at: int) -> bool:
        """Serve a REGION_READ of one register. False: it is a different message."""
        ident, command, _, flags, _ = p.HEADER.unpack_from(self._buffer, at)
        offset, region, count = p.REGION_ACCESS.unpack_from(self._buffer, at + 16)
        if command != READ or region != 0 or count != 4 or offset & 3 or flags:
            return False
        try:
            value = self._gpu.read(offset)
        except Exception as error:  # the guest must get an answer: the whole machine waits for it
            self._failed(error, f"read of register 0x{offset:x}")
            value = 0
        READ32_REPLY.pack_into(self._out, 0, ident, command, READ32_REPLY.size, REPLY, 0, offset, region, count, value)
        self._socket.sendall(self._out)
        return True

    def _write_register(self, at: int) -> bool:
        """Serve a REGION_WRITE of one register. False: it is a different message."""
        ident, command, _, flags, _ = p.HEADER.unpack_from(self._buffer, at)
        offset, region, count = p.REGION_ACCESS.unpack_from(self._buffer, at + 16)
        if command != WRITE or region != 0 or count != 4 or offset & 3 or flags & ~NO_REPLY:
            return False
        value = int.from_bytes(self._view[at + 32 : at + 36], "little")
        try:
            self._gpu.write(offset, value)
        except Exception as error:
            self._failed(error, f"write of 0x{value:x} to register 0x{offset:x}")
        if not flags:
            self._socket.sendall(WRITE_REPLY.pack(ident, command, WRITE_REPLY.size, REPLY, 0, offset, region, count))
        return True

    def _failed(self, error: Exception, what: str) -> None:
        if not self._gpu.failed(error):
            self._reporter.model_error(f"{what}: {error!r}", self.reproducer_with(error))

    def reproducer_with(self, error: Exception) -> str:
        """The traceback of `error` and the last messages."""
        import traceback  # slow to import, and only needed after an error

        return "".join(traceback.format_exception(error)) + "last messages:\n" + self.reproducer()

    # --- messages other than register accesses

    def _dispatch(self, message: Message) -> None:
        if message.flags & Flag.TYPE:
            if message.ident == self._question and message.command == Command.DMA_READ:
                self._open_question = False
            return  # a reply to `round_trip`, or unexpected
        handler = self._commands.get(message.command)
        self.arrive()
        try:
            if handler is None:
                raise ProtocolError(errno.ENOTSUP, f"command {message.command} is not served")
            answer = message.reply(handler(message))
        except ProtocolError as error:
            self._reporter.check("protocol", str(error))
            answer = message.refuse(error.errno)
        except struct.error as error:
            self._reporter.check("protocol", f"command {message.command}: {error}")
            answer = message.refuse(errno.EINVAL)
        except Exception as error:
            self._failed(error, f"command {message.command}")
            answer = message.refuse(errno.EIO)
        self.leave()
        if message.wants_reply:
            self._socket.sendall(answer.encode())

    def _take_fds(self) -> list[int]:
        """The file descriptors of the current message: a receive with descriptors ends with their message."""
        if self._fds_end > self._message_end:
            return []
        fds, self._fds = self._fds, []
        return fds

    def _dma_map(self, message: Message) -> bytes:
        _, flags, offset, base, size = p.DMA_MAP.unpack_from(message.body)
        fds = self._take_fds()
        try:
            if not fds:
                raise ProtocolError(errno.ENOTSUP, "DMA_MAP without a file descriptor: guest RAM must be shared memory")
            self._gpu.ram.map(base, fds[0], offset, size, bool(flags & DmaFlag.WRITE))
        except ValueError as error:
            raise ProtocolError(errno.EINVAL, f"DMA_MAP: {error}") from error
        except OSError as error:
            raise ProtocolError(error.errno or errno.EIO, f"DMA_MAP: {error}") from error
        finally:
            for fd in fds:
                os.close(fd)
        self._gpu.memory_changed()
        return b""

    def _dma_unmap(self, message: Message) -> bytes:
        argsz, flags, base, size = p.DMA_UNMAP.unpack_from(message.body)
        if size == 0 and flags & 2:  # VFIO_DMA_UNMAP_FLAG_ALL
            size = self._gpu.ram.size
            self._gpu.ram.clear()
        elif self._gpu.ram.unmap(base, size) == 0:
            raise ProtocolError(errno.EINVAL, f"DMA_UNMAP of 0x{base:x}+0x{size:x}, which is not mapped")
        self._gpu.memory_changed()
        return p.DMA_UNMAP.pack(argsz, flags, base, size)

    def _get_info(self, _message: Message) -> bytes:
        return p.DEVICE_INFO.pack(p.DEVICE_INFO.size, p.DEVICE_FLAGS, p.NUM_REGIONS, p.NUM_IRQS)

    def _region_info(self, message: Message) -> bytes:
        index = p.REGION_INFO.unpack_from(message.body)[2]
        if index >= p.NUM_REGIONS:
            raise ProtocolError(errno.EINVAL, f"there is no region {index}")
        size = pci.SIZE if index == p.REGION_CONFIG else pci.BAR_SIZES.get(index, 0)
        flags = p.REGION_READ_WRITE if size else 0
        return p.REGION_INFO.pack(p.REGION_INFO.size, flags, index, 0, size, 0)

    def _irq_info(self, message: Message) -> bytes:
        index = p.IRQ_INFO.unpack_from(message.body)[2]
        if index >= p.NUM_IRQS:
            raise ProtocolError(errno.EINVAL, f"there is no interrupt index {index}")
        vectors = pci.VECTORS if index == p.IRQ_MSIX else 0
        return p.IRQ_INFO.pack(p.IRQ_INFO.size, p.IRQ_EVENTFD if vectors else 0, index, vectors)

    def _set_irqs(self, message: Message) -> bytes:
        _, flags, index, start, count = p.IRQ_SET.unpack_from(message.body)
        fds = self._take_fds()
        irqs = self._gpu.irqs
        try:
            if index != p.IRQ_MSIX or start + count > len(irqs):
                raise ProtocolError(errno.EINVAL, f"SET_IRQS index {index} vectors {start}+{count}")
            if not flags & IrqFlag.ACTION_TRIGGER:
                raise ProtocolError(errno.ENOTSUP, f"SET_IRQS flags 0x{flags:x}")
            if flags & IrqFlag.DATA_EVENTFD:
                for irq in irqs[start : start + count]:
                    irq.connect(fds.pop(0) if fds else None)
            elif flags & IrqFlag.DATA_NONE and not count:
                for irq in irqs:
                    irq.connect(None)
            elif flags & IrqFlag.DATA_NONE:
                for irq in irqs[start : start + count]:
                    irq.trigger()
            else:
                raise ProtocolError(errno.ENOTSUP, f"SET_IRQS flags 0x{flags:x}")
        finally:
            for fd in fds:
                os.close(fd)
        return b""

    def _region_read(self, message: Message) -> bytes:
        offset, region, count = p.REGION_ACCESS.unpack_from(message.body)
        if count > p.MAX_TRANSFER:
            raise ProtocolError(errno.E2BIG, f"read of {count} bytes")
        if region == p.REGION_CONFIG:
            data = self._config.read(offset, count)
        elif region == 0:
            data = self._read_bytes(offset, count)
        elif region in pci.BAR_SIZES:
            data = bytes(count)  # QEMU emulates the MSI-X table
        else:
            raise ProtocolError(errno.EINVAL, f"read of region {region}")
        return p.REGION_ACCESS.pack(offset, region, count) + data

    def _read_bytes(self, offset: int, count: int) -> bytes:
        if offset + count > pci.BAR_SIZES[0] or count > 64:
            raise ProtocolError(errno.EINVAL, f"read of {count} bytes at 0x{offset:x} of the registers")
        first, last = offset & ~3, (offset + count + 3) & ~3
        words = b"".join(self._gpu.read(at).to_bytes(4, "little") for at in range(first, last, 4))
        return words[offset - first : offset - first + count]

    def _region_write(self, message: Message) -> bytes:
        offset, region, count = p.REGION_ACCESS.unpack_from(message.body)
        data = message.body[p.REGION_ACCESS.size :]
        if len(data) != count:
            raise ProtocolError(errno.EINVAL, f"write of {count} bytes that brings {len(data)}")
        if region == p.REGION_CONFIG:
            self._config.write(offset, data)
            self._gpu.pci_command(self._config.command)
            self._gpu.clock(self._config.clock)
            if offset <= pci.MARK < offset + count:
                self._gpu.mark(self._config.mark & ~pci.MARK_BEGIN, begin=bool(self._config.mark & pci.MARK_BEGIN))
        elif region == 0:
            self._write_bytes(offset, data)
        elif region not in pci.BAR_SIZES:
            raise ProtocolError(errno.EINVAL, f"write of region {region}")
        return p.REGION_ACCESS.pack(offset, region, count)

    def _write_bytes(self, offset: int, data: bytes) -> None:
        if offset & 3 or len(data) & 3 or offset + len(data) > pci.BAR_SIZES[0]:
            self._reporter.unmodelled("partial write", f"write of {len(data)} bytes at 0x{offset:x} of the registers")
            return
        for at in range(0, len(data), 4):
            self._gpu.write(offset + at, int.from_bytes(data[at : at + 4], "little"))

    def _device_reset(self, _message: Message) -> bytes:
        self._config.reset()
        self._gpu.pci_command(self._config.command)
        self._gpu.clock(self._config.clock)
        self._gpu.reset()
        return b""
