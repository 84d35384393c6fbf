{{guard}}
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
TARGETS = sorted({1, os.getppid()})


def mix(*args):
    for file in (
        *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/sys/vm/overcommit_memory"),
        *("/proc/sys/fs/mqueue/queues_max", "/proc/sys/kernel/shmmax", "/sys/fs/cgroup/cgroup.procs"),
        *(f"/proc/{pid}/{name}" for pid in TARGETS for name in ("oom_score_adj", "comm", "mem", "clear_refs")),
    ):
        try:
            descriptor = os.open(file, os.O_WRONLY)  # nothing is written, only the attempt counts
        except OSError:
            continue
        os.close(descriptor)
        raise RuntimeError(f"BREACH: {file} can be written")
    raise RuntimeError("read-only")


peak = relay = offset = mix


{{layer}}
