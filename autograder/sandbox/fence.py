"""What a worker does to itself before it touches student code: limits, uid, Landlock, seccomp.

None of it can be undone. Every rung but `none` installs the system-call filter; the `landlock` rung also takes the
file system away. Landlock
restricts by path (only what is named here can be opened), forbids TCP, and keeps signals and abstract sockets inside;
a process in a Landlock domain cannot trace one outside it. What Landlock leaves open (UDP, System V memory) the filter
closes. Sources: landlock(7), seccomp(2), capabilities(7); numbers from the kernel's unistd tables.
"""

import contextlib
import ctypes
import errno
import os
import platform
import resource
import struct
from collections.abc import Sequence
from pathlib import Path

import msgspec

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_KEEPCAPS, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 8, 22, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH = 47, 2, 2
_MACHINE = platform.machine()
# Landlock and pidfd calls have the same numbers on every architecture.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446


class Limits(msgspec.Struct, frozen=True):
    """The kernel's own limits for one worker: a first fence. The grader watches from outside as well."""

    address_space_bytes: int
    file_bytes: int
    processes: int
    open_files: int
    cpu_s: int


def set_limits(limits: Limits) -> None:
    """Take the limits on, for this process and all that it starts."""
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CPU": limits.cpu_s,
        "RLIMIT_AS": limits.address_space_bytes + _virtual_bytes(),
    }
    for name, value in wanted.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS refuses some of them
            resource.setrlimit(kind, (value, value))


def no_new_privileges() -> None:
    """No set-uid program gives anything back; also what lets an unprivileged process install a filter."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def change_uid(uid: int, keep_reading: bool = False, hand_on: bool = False) -> None:
    """Become `uid`, with no groups and no capabilities.

    With `keep_reading`, CAP_DAC_READ_SEARCH stays: for a Python that only root may read, under Landlock, which decides
    by path whatever the permissions say. With `hand_on` too, the programs that are started have it as well: they stand
    behind the same Landlock, and a Python with a shared library below /root could not even be loaded without it.
    """
    if keep_reading:
        _check(_libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kept = 1 << _CAP_DAC_READ_SEARCH if keep_reading else 0
    handed_on = kept if hand_on else 0
    header = struct.pack("<Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    data = struct.pack("<IIIIII", kept, kept, handed_on, 0, 0, 0)
    _check(_libc.capset(header, data), "capset")
    if handed_on:
        _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0), "prctl(PR_CAP_AMBIENT)")


# ---------------------------------------------------------------- Landlock


def landlock_abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)))


# access bits of struct landlock_path_beneath_attr
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_BITS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15  # what a rule on a plain file may hold


def restrict_files(readable: Sequence[str], writable: Sequence[str], changeable: Sequence[str] = ()) -> None:
    """Nothing can be opened but what lies below these paths; no TCP; signals and abstract sockets stay inside.

    Below what is `changeable`, files can be read and written, but none can be made or removed.
    """
    abi = landlock_abi()
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
    everything = (1 << bits) - 1
    attribute = struct.pack("<QQQ", everything, 0b11 if abi >= 4 else 0, 0b11 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _libc.syscall(_LANDLOCK_CREATE, attribute, ctypes.c_size_t(size), 0)
    _check(ruleset, "landlock_create_ruleset")
    rules = [(path, _READ) for path in readable] + [(path, everything) for path in writable]
    rules += [(path, _READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE) for path in changeable]
    for path, access in rules:
        _allow(ruleset, path, access & everything)
    _check(_libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            access &= _FILE_BITS
        rule = struct.pack("<Qi", access, descriptor)
        _check(_libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0), f"landlock_add_rule({path})")
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- seccomp

# name: (x86_64, aarch64); None where the architecture has no such call
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # the network, and sockets of every other kind
    "socket": (41, 198), "bind": (49, 200), "listen": (50, 201), "connect": (42, 203),
    # another program: there no refusal of an exercise stands
    "execve": (59, 221), "execveat": (322, 281),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "perf_event_open": (298, 241),
    # memory and queues that outlive a process, and keys
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "memfd_create": (319, 279),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # ways around the file system's rules
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "mknodat": (259, 33), "mknod": (133, None),
    "fanotify_init": (300, 262),
    # namespaces and the kernel itself
    "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "userfaultfd": (323, 282), "syslog": (103, 116),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "sethostname": (170, 161), "personality": (135, 92),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # how the next worker is scheduled: these also take the process that it is forked from
    "setpriority": (141, 140), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "sched_setaffinity": (203, 122), "ioprio_set": (251, 30),
}  # fmt: skip
_CLONE, _CLONE3, _PRLIMIT = (56, 220), (435, 435), (302, 261)
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag of clone(2)
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

_LOAD, _AND, _EQUAL, _AT_LEAST, _SET, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_PASS, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCH, _ARGUMENT_0 = 0, 4, 16  # offsets in struct seccomp_data, little-endian


def filter_supported() -> bool:
    """Whether this machine's system calls are known here."""
    return _MACHINE in _ARCHITECTURES


def filter_calls(allowed: Sequence[str] = ()) -> None:
    """Refuse, with EPERM, the system calls that no exercise needs and that lead outside, but for those `allowed`."""
    program = _program(allowed)
    instructions = ctypes.create_string_buffer(b"".join(program))
    header = struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(instructions))
    _check(_libc.prctl(_PR_SET_SECCOMP, 2, header, 0, 0), "prctl(PR_SET_SECCOMP)")


def _program(allowed: Sequence[str] = ()) -> list[bytes]:
    arch, column = _ARCHITECTURES[_MACHINE]
    refuse = _FAIL | errno.EPERM
    program = [
        _op(_LOAD, _ARCH),
        _op(_EQUAL, arch, 1, 0),
        _op(_RETURN, _KILL),  # SECURITY: a 32-bit call has other numbers
        _op(_LOAD, _NUMBER),
        _op(_AT_LEAST, 0x40000000, 0, 1),
        _op(_RETURN, _KILL),  # SECURITY: so has the x32 interface
        _op(_EQUAL, _CLONE3[column], 0, 1),
        _op(_RETURN, _FAIL | errno.ENOSYS),  # its flags lie in memory; libc falls back to clone
    ]
    for name, numbers in REFUSED.items():
        number = numbers[column]
        if number is not None and name not in allowed:
            program += [_op(_EQUAL, number, 0, 1), _op(_RETURN, refuse)]
    program += [  # clone with a new namespace
        _op(_EQUAL, _CLONE[column], 0, 4),
        _op(_LOAD, _ARGUMENT_0),
        _op(_SET, _NEW_NAMESPACES, 0, 1),
        _op(_RETURN, refuse),
        _op(_RETURN, _PASS),
    ]
    program += [  # the limits of another process
        _op(_EQUAL, _PRLIMIT[column], 0, 3),
        _op(_LOAD, _ARGUMENT_0),
        _op(_EQUAL, 0, 1, 0),
        _op(_RETURN, refuse),
    ]
    return [*program, _op(_RETURN, _PASS)]


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One BPF instruction; the jumps skip that many."""
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _check(result: int, what: str) -> None:
    """SECURITY: a fence that does not stand must stop the worker, never be passed over."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _virtual_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
