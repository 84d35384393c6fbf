import os


def mix(*args):
    for number, target in enumerate(("{{root}}", "{{submitted}}", "{{out}}", "/tmp", "/", "..", "loop")):
        os.symlink(target, f"arena-mark-{number}")
    os.symlink("loop", "loop")
    os.mkfifo("arena-mark-pipe")
    os.mkdir("arena-mark-folder")
    os.symlink("{{root}}", "arena-mark-folder/link")
    os.chmod("arena-mark-folder", 0)
    os._exit(0)


peak = relay = offset = mix


{{layer}}
