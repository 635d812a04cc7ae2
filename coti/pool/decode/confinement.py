"""What a decoding process may still do once it is confined: compute, and answer on its socket.

Each layer alone keeps a taken-over decoder from files, network and other processes: no new file
descriptor (everywhere), a user and network namespace of its own (Linux, where it may be made), and
a filter that lets only the system calls through that decoding needs (Linux on x86-64 and
AArch64). The filter is classic BPF by ``prctl``, `seccomp(2)
<https://man7.org/linux/man-pages/man2/seccomp.2.html>`_.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import sys

__all__ = ["confine"]

# fmt: off
_CALLS: dict[str, tuple[int, int]] = {  # numbers on x86-64 and AArch64; -1: there is none
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "poll": (7, -1),
    "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215),
    "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "writev": (20, 66), "sched_yield": (24, 124), "mremap": (25, 216),
    "madvise": (28, 233), "nanosleep": (35, 101), "getpid": (39, 172), "sendto": (44, 206),
    "recvfrom": (45, 207), "exit": (60, 93), "sigaltstack": (131, 132), "gettid": (186, 178),
    "futex": (202, 98), "sched_getaffinity": (204, 123), "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115), "exit_group": (231, 94), "set_robust_list": (273, 99),
    "getrandom": (318, 278), "membarrier": (324, 283), "rseq": (334, 293),
    "restart_syscall": (219, 128), "ppoll": (271, 73),
}
_CLONE, _CLONE3 = (56, 220), 435
# fmt: on
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD, _CLONE_NEWUSER, _CLONE_NEWNET = 0x10000, 0x10000000, 0x40000000
_SET_PDEATHSIG, _SET_SECCOMP, _SET_NO_NEW_PRIVS = 1, 22, 38


def confine(memory: int) -> str:
    """Give up all that decoding doesn't need; what could not be given up, in words, or nothing.

    Args:
        memory: bytes of address space on top of what is used already (Linux).
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes its warnings there
    libc = ctypes.CDLL(None, use_errno=True)
    linux = sys.platform.startswith("linux")
    if linux:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # where it is refused, the filter is enough
        libc.prctl(_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NOFILE):
        resource.setrlimit(limit, (0, 0))
    filtered = linux and _filter_calls(libc)
    return "" if filtered else f"no system call filter on {sys.platform} {platform.machine()}"


def _filter_calls(libc: ctypes.CDLL) -> bool:
    """Let only the calls of decoding through, from now on and for good; whether that worked."""
    if platform.machine() not in _ARCHITECTURES:
        return False
    column, architecture = _ARCHITECTURES[platform.machine()]
    # Each test that fails steps over the return behind it. A clone must make a thread (libwebp
    # needs one); what clone3 makes stands in memory, where a filter can't look: libc then clones.
    program = [(0x20, 0, 0, 4), (0x15, 1, 0, architecture), (0x06, 0, 0, _REFUSE | _EPERM)]
    program.append((0x20, 0, 0, 0))
    for numbers in _CALLS.values():
        if numbers[column] >= 0:
            program += [(0x15, 0, 1, numbers[column]), (0x06, 0, 0, _ALLOW)]
    program += [(0x15, 0, 1, _CLONE3), (0x06, 0, 0, _REFUSE | _ENOSYS)]
    program += [(0x15, 0, 3, _CLONE[column]), (0x20, 0, 0, 16)]
    program += [(0x45, 0, 1, _CLONE_THREAD), (0x06, 0, 0, _ALLOW), (0x06, 0, 0, _REFUSE | _EPERM)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    header = struct.pack("@HP", len(program), ctypes.addressof(code))
    words = [ctypes.c_ulong(0)] * 3
    if libc.prctl(_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), *words):
        return False
    return not libc.prctl(_SET_SECCOMP, ctypes.c_ulong(2), ctypes.c_char_p(header))
