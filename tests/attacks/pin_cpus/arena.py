{{guard}}

if len(os.sched_getaffinity(0)) < os.cpu_count():
    FOUND = "BREACH: an earlier process of the sandbox has changed the next one"
else:
    FOUND = "nothing was passed on"
try:
    os.sched_setaffinity(os.getppid(), {0})
except OSError:
    pass


def mix(*args):
    raise RuntimeError(FOUND)


def peak(scores):
    os._exit(0)


relay = offset = mix


{{layer}}
