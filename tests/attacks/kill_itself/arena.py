import ctypes
import os
import signal


def mix(*args):
    os.kill(os.getpid(), signal.SIGKILL)


def peak(scores):
    ctypes.string_at(8)


def relay(function, x):
    os.abort()


def offset(scores):
    os.kill(os.getpid(), signal.SIGSTOP)


{{layer}}
