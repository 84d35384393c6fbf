{{guard}}

if os.getpriority(os.PRIO_PROCESS, 0) == 7:  # as below; the grader may run under `nice` itself
    FOUND = "BREACH: an earlier process of the sandbox has changed the next one"
else:
    FOUND = "nothing was passed on"
try:
    os.setpriority(os.PRIO_PROCESS, os.getppid(), 7)
except OSError:
    pass


def mix(*args):
    raise RuntimeError(FOUND)


def peak(scores):
    os._exit(0)


relay = offset = mix


{{layer}}
