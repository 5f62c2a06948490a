from dataclasses import dataclass
@dataclass(frozen=True)
class Qemu:
    argv: tuple[str, ...]
    version: str
    origin: str
def find_qemu(_p=None):
    R="/tmp/lab/q/root"
    return Qemu((f"{R}/lib64/ld-linux-x86-64.so.2","--library-path",f"{R}/usr/lib/x86_64-linux-gnu",f"{R}/usr/bin/qemu-system-aarch64","-L",f"{R}/usr/share/qemu"),"11.1.3","dev")
