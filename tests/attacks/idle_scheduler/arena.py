{{guard}}

if os.sched_getscheduler(0) != os.SCHED_OTHER:
    FOUND = "BREACH: an earlier process of the sandbox has changed the next one"
else:
    FOUND = "nothing was passed on"
try:
    os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0))
except OSError:
    pass


def mix(*args):
    raise RuntimeError(FOUND)


def peak(scores):
    os._exit(0)


relay = offset = mix


{{layer}}
