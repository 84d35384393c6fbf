"""Takes away from our own modules what another system lacks, in every Python that has this folder on its path.

ELSEWHERE says which system is played: `win32` or `darwin`. torch, pytest and the standard library keep what they need
to run here; an import in a file of the package `autograder` gets modules without the names that are not there, and
`sys.platform` says the other system. What cannot be played: paths with backslashes, handles of open files, timing.
"""

import builtins
import os
import sys
import types

_HERE = os.environ.get("ELSEWHERE", "")
_KIT = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "autograder", "")

# Modules that the documentation of the standard library calls "Unix" or "not Windows".
_NO_MODULES = {
    "win32": {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "readline"},
    "darwin": set(),
}
_LINUX_ONLY_OS = {
    *("memfd_create", "MFD_CLOEXEC", "MFD_ALLOW_SEALING", "sched_getaffinity", "sched_setaffinity", "pidfd_open"),
    *("sched_setscheduler", "setns", "unshare", "O_PATH", "O_TMPFILE", "getresuid", "getresgid", "setresuid"),
    *("setresgid", "eventfd", "getxattr", "copy_file_range", "splice", "posix_fallocate", "getrandom"),
}
_UNIX_ONLY_OS = {
    *("fork", "forkpty", "openpty", "killpg", "register_at_fork", "getuid", "geteuid", "getgid", "getegid", "setuid"),
    *("setgid", "seteuid", "setegid", "setreuid", "setregid", "setgroups", "getgroups", "initgroups", "getpgid"),
    *("getpgrp", "setpgid", "setsid", "getsid", "uname", "sysconf", "confstr", "wait", "wait3", "wait4", "waitid"),
    *("WNOHANG", "WIFEXITED", "WIFSIGNALED", "WEXITSTATUS", "WTERMSIG", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"),
    *("O_DIRECTORY", "O_SYNC", "chown", "fchown", "lchown", "fchmod", "mkfifo", "mknod", "statvfs", "fstatvfs"),
    *("nice", "getloadavg", "getpriority", "setpriority", "pread", "pwrite", "posix_spawn", "chroot", "fchdir"),
    *("ctermid", "getlogin", "lockf", "sync", "ttyname", "sched_yield", "pathconf", "fpathconf"),
}
_WINDOWS_SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}


def _windows_signals(name: str) -> bool:
    """Whether the module `signal` lacks it there."""
    unix = ("alarm", "pause", "pthread_sigmask", "setitimer", "sigwait", "pthread_kill", "siginterrupt", "SIG_BLOCK")
    return (name.startswith("SIG") and name.isupper() and "_" not in name and name not in _WINDOWS_SIGNALS) or (
        name in unix or name in ("SIG_UNBLOCK", "SIG_SETMASK")
    )


_LACKS = {
    "win32": {
        "os": lambda name: name in _LINUX_ONLY_OS | _UNIX_ONLY_OS,
        "signal": _windows_signals,
        "socket": lambda name: name in ("AF_UNIX", "send_fds", "recv_fds", "SOCK_SEQPACKET", "SCM_RIGHTS"),
        "select": lambda name: name in ("poll", "epoll"),
        "time": lambda name: name in ("tzset", "clock_gettime", "pthread_getcpuclockid"),
    },
    "darwin": {
        "os": lambda name: name in _LINUX_ONLY_OS,
        "signal": lambda name: name in ("SIGPWR", "SIGSTKFLT", "SIGPOLL", "SIGRTMIN", "SIGRTMAX", "sigtimedwait"),
        "socket": lambda name: name in ("SOCK_SEQPACKET", "AF_NETLINK", "SO_PEERCRED"),
        "select": lambda name: name == "epoll",
    },
}


class _Without(types.ModuleType):
    """A module without some of its names; what is set on it is set on the module."""

    def __init__(self, module, lacks, instead):
        object.__getattribute__(self, "__dict__").update(_module=module, _lacks=lacks, _instead=instead)

    def __getattribute__(self, name):
        own = object.__getattribute__(self, "__dict__")
        if name in own["_instead"]:
            return own["_instead"][name]
        if own["_lacks"](name):
            raise AttributeError(f"module {own['_module'].__name__!r} has no attribute {name!r} on {_HERE}")
        return getattr(own["_module"], name)

    def __setattr__(self, name, value):
        setattr(object.__getattribute__(self, "__dict__")["_module"], name, value)


def _instead():
    """What is there, and is another thing."""
    import ctypes
    import subprocess

    class Library:
        def __init__(self, *arguments, **keywords):
            if arguments[:1] == (None,) and _HERE == "win32":
                raise TypeError("bad argument type for built-in operation")
            self._library = ctypes.CDLL(*arguments, **keywords)

        def __getattr__(self, name):
            if name in ("prctl", "capset", "madvise", "unshare", "syscall", "shmget"):
                raise AttributeError(f"dlsym(RTLD_DEFAULT, {name}): symbol not found")
            return getattr(self._library, name)

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **keywords):
            if _HERE == "win32":
                keywords.pop("creationflags", 0)
                for name in ("pass_fds", "preexec_fn", "start_new_session", "user", "group", "process_group"):
                    if keywords.get(name):
                        raise ValueError(f"{name} is not supported on Windows platforms")
            elif keywords.get("creationflags"):
                raise ValueError("creationflags is only supported on Windows platforms")
            super().__init__(*arguments, **keywords)

    flags = {"CREATE_NEW_PROCESS_GROUP": 0x200, "CREATE_NO_WINDOW": 0x08000000} if _HERE == "win32" else {}
    return {
        "sys": {"platform": _HERE},
        "os": {"name": "nt"} if _HERE == "win32" else {},
        "ctypes": {"CDLL": Library},
        "subprocess": {"Popen": Popen, **flags},
    }


def _is_ours(caller):
    name, file = str(caller.get("__name__")), str(caller.get("__file__"))
    return name.partition(".")[0] == "autograder" or (name == "__main__" and file.startswith(_KIT))


def install():
    """From now on."""
    real_import, real_open = builtins.__import__, builtins.open
    lacks, proxies = _LACKS[_HERE], {}
    instead = None

    def imported(name, globals=None, locals=None, fromlist=(), level=0):
        nonlocal instead
        if level or globals is None or not _is_ours(globals):
            return real_import(name, globals, locals, fromlist, level)
        if name in _NO_MODULES[_HERE]:
            raise ModuleNotFoundError(f"No module named {name!r} on {_HERE}", name=name)
        if name not in {*lacks, "sys", "ctypes", "subprocess"}:
            return real_import(name, globals, locals, fromlist, level)
        if name not in proxies:
            instead = instead or _instead()
            module = real_import(name)
            proxies[name] = _Without(module, lacks.get(name, lambda name: False), instead.get(name, {}))
        return proxies[name]

    def opened(file, *arguments, **keywords):
        if isinstance(file, str) and file.startswith(("/proc/", "/sys/")) and _is_ours(sys._getframe(1).f_globals):
            raise FileNotFoundError(2, f"there is none on {_HERE}", file)
        return real_open(file, *arguments, **keywords)

    builtins.__import__, builtins.open = imported, opened


if _HERE:
    install()
