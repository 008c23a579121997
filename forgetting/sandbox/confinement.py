"""The layers that confine a process, each by a few system calls through ctypes: which were put in place, which not why.

Runs inside the sandbox's own interpreter and needs nothing but the standard library. Linux only, except for ``limit``.
Sources: landlock(7), seccomp(2), user_namespaces(7), capabilities(7).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Sequence
from functools import cache

LAYERS = ("namespaces", "landlock", "user", "seccomp")
NOBODY = 65534
PROCESSES, OPEN_FILES = 64, 32

_NEWIPC, _NEWUTS, _NEWUSER, _NEWPID, _NEWNET = 0x8000000, 0x4000000, 0x10000000, 0x20000000, 0x40000000
_NO_NEW_PRIVS, _KEEPCAPS, _DUMPABLE, _PDEATHSIG, _SECCOMP, _CAPBSET_DROP = 38, 8, 4, 1, 22, 24
_DAC_READ_SEARCH = 2
_PATH_BENEATH = 1
# Landlock's file-system rights by the ABI that brought them; those that only read are given to the library folders.
_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3

# Numbers of refused system calls on x86_64 and aarch64 (-1: there is no such call).
_REFUSED: dict[str, tuple[int, int]] = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269), "fork": (57, -1), "vfork": (58, -1),
    "execve": (59, 221), "execveat": (322, 281), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "bpf": (321, 280),
    "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "userfaultfd": (323, 282),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "init_module": (175, 105),
    "finit_module": (313, 273), "kexec_load": (246, 104), "reboot": (169, 142), "setsid": (112, 157),
    "setpgid": (109, 154), "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54), "utime": (132, -1),
    "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "truncate": (76, 45), "personality": (135, 92), "quotactl": (179, 60), "acct": (163, 89),
    "sethostname": (170, 161), "setdomainname": (171, 162), "clock_settime": (227, 112), "settimeofday": (164, 170),
    "syslog": (103, 116), "iopl": (172, -1), "ioperm": (173, -1), "mknod": (133, -1), "mknodat": (259, 33),
    "setpriority": (141, 140), "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30), "fanotify_init": (300, 262), "capset": (126, 91),
}  # fmt: skip
# What the process that forks still needs; refused to its children only.
_NEEDED_TO_FORK = ("fork", "vfork", "kill", "setsid", "memfd_create")
_MACHINES = {"x86_64": (0, 0xC000003E, 56, 435, 302), "aarch64": (1, 0xC00000B7, 220, 435, 261)}
_THREAD = 0x10000
_EPERM, _ENOSYS = 1, 38


class Missing(OSError):
    """A layer that this machine does not allow; the text says why."""


@cache
def _libc() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise Missing("needs Linux")
    return ctypes.CDLL(None, use_errno=True)


def _call(what: str, result: int) -> int:
    if result < 0:
        raise Missing(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _prctl(option: int, one: int = 0, two: object = 0) -> None:
    zero = ctypes.c_ulong(0)
    second = two if isinstance(two, ctypes.c_void_p) else ctypes.c_ulong(int(two))  # type: ignore[call-overload]
    _call("prctl", _libc().prctl(option, ctypes.c_ulong(one), second, zero, zero))


def new_namespaces() -> bool:
    """User (unless root), PID, network, IPC and host-name namespaces of its own; whether children are in a new PID one.

    The caller's next child is process 1 of the PID namespace; the network has not even a loopback that is up. Raises
    ``Missing``.
    """
    wanted = _NEWNET | _NEWPID | _NEWIPC | _NEWUTS | (0 if os.geteuid() == 0 else _NEWUSER)
    try:
        _call("unshare", _libc().unshare(wanted))
    except Missing:
        if os.geteuid():
            raise
        _call("unshare", _libc().unshare(wanted | _NEWUSER))
    return True


def die_with_parent() -> None:
    """Ask for SIGKILL when the parent ends."""
    _prctl(_PDEATHSIG, 9)


def drop_user(readable: Sequence[str], *, confined: bool) -> None:
    """From root to nobody. ``confined``: whether Landlock restricts reading, so that the right to read may be kept.

    The interpreter's library may lie where nobody may read (a root's home folder). Then the one capability to read any
    file is kept if Landlock narrows it to ``readable``; else ``Missing`` is raised and nothing is dropped.
    """
    if os.getuid() != 0 or os.geteuid() != 0:
        return
    keep = not all(_readable_by_all(folder) for folder in readable)
    if keep and not confined:
        raise Missing("the interpreter's library is readable to root only, and there is no Landlock to narrow that")
    for capability in range(64):
        if capability != _DAC_READ_SEARCH or not keep:
            _libc().prctl(_CAPBSET_DROP, ctypes.c_ulong(capability), *[ctypes.c_ulong(0)] * 3)
    _prctl(_KEEPCAPS, int(keep))
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    if keep:
        header = struct.pack("Ii", 0x20080522, 0)
        bits = 1 << _DAC_READ_SEARCH
        _call("capset", _libc().capset(header, struct.pack("6I", bits, bits, 0, 0, 0, 0)))
    if os.getuid() != NOBODY:
        raise Missing("setresuid had no effect")


def _readable_by_all(folder: str) -> bool:
    parts = os.path.realpath(folder).split("/")
    above = ["/".join(parts[:n]) or "/" for n in range(1, len(parts) + 1)]
    return all(os.stat(path).st_mode & 0o001 for path in above) and bool(os.stat(folder).st_mode & 0o004)


class Landlock:
    """A rule set: files are read beneath ``readable`` and nowhere else; none is written; no TCP, no signals out."""

    def __init__(self, readable: Sequence[str]) -> None:
        """Raises ``Missing`` where the kernel has no Landlock."""
        libc = _libc()
        self.abi = _call("landlock", libc.syscall(444, None, ctypes.c_size_t(0), 1))
        rights = sum(bits for abi, bits in _RIGHTS.items() if abi <= self.abi)
        network = 0b11 if self.abi >= 4 else 0
        scopes = 0b11 if self.abi >= 6 else 0
        fields = [rights, *([network] if self.abi >= 4 else []), *([scopes] if self.abi >= 6 else [])]
        attributes = struct.pack(f"{len(fields)}Q", *fields)
        size = ctypes.c_size_t(len(attributes))
        self.rules = _call("landlock", libc.syscall(444, attributes, size, 0))
        for path in readable:
            if not os.path.exists(path):
                continue
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
            rule = struct.pack("=Qi", allowed, opened)
            _call("landlock", libc.syscall(445, self.rules, _PATH_BENEATH, rule, 0))
            os.close(opened)

    def enter(self) -> None:
        """Confine this process and its children, in a domain of their own, for good."""
        no_new_privileges()
        _call("landlock", _libc().syscall(446, self.rules, 0))


def no_new_privileges() -> None:
    """No set-user-id program gives this process more rights, for good."""
    _prctl(_NO_NEW_PRIVS, 1)


def hide_memory() -> None:
    """Other processes of the same user may not read this one's memory."""
    _prctl(_DUMPABLE, 0)


@cache
def system_calls(*, forking: bool) -> ctypes.Array[ctypes.c_char]:
    """The seccomp filter's program: refused calls fail with EPERM. Raises ``Missing``.

    ``forking`` gives the long filter, for the process that forks; without it a short one that is put on top of it in
    each child (a filter costs time in proportion to its length), and that lets only threads be cloned.
    """
    if platform.machine() not in _MACHINES:
        raise Missing(f"no table of system calls for {platform.machine()}")
    column, architecture, clone, clone3, prlimit = _MACHINES[platform.machine()]
    refuse, absent, allow = 0x00050000 | _EPERM, 0x00050000 | _ENOSYS, 0x7FFF0000
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    code = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, refuse), (load, 0, 0, 0)]
    if column == 0 and forking:
        code += [(at_least, 0, 1, 0x40000000), (give, 0, 0, refuse)]  # the x32 numbering
    for name, numbers in _REFUSED.items():
        number = numbers[column]
        if number >= 0 and forking == (name not in _NEEDED_TO_FORK):
            code += [(equal, 0, 1, number), (give, 0, 0, refuse)]
    if forking:  # limits of other processes
        code += [(equal, 0, 3, prlimit), (load, 0, 0, 16), (equal, 1, 0, 0), (give, 0, 0, refuse)]
    else:  # the flags of clone3 cannot be seen; libc falls back to clone
        code += [(equal, 0, 1, clone3), (give, 0, 0, absent)]
        code += [(equal, 0, 3, clone), (load, 0, 0, 16), (any_bit, 1, 0, _THREAD), (give, 0, 0, refuse)]
    code += [(give, 0, 0, allow)]
    return ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))


def refuse_system_calls(*, forking: bool) -> None:
    """Put the seccomp filter in place, for good. Raises ``Missing``."""
    program = system_calls(forking=forking)
    no_new_privileges()
    count = (ctypes.sizeof(program) - 1) // 8
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", count, ctypes.addressof(program)))
    _prctl(_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(header)))


def limit(*, cpu_seconds: int, memory_bytes: int, file_bytes: int) -> None:
    """Resource limits of this process, for good: no core, few files and processes."""
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1),
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes, file_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_NPROC, PROCESSES, PROCESSES),
    ):
        highest = resource.getrlimit(what)[1]
        if highest != resource.RLIM_INFINITY:
            soft, hard = min(soft, highest), min(hard, highest)
        resource.setrlimit(what, (soft, hard))
