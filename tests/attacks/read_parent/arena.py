import os


def mix(scores, values):
    for pid in {1, os.getppid()}:
        for what in ("mem", "environ", "maps", "fd", "root/etc", "cwd/", "map_files", "syscall", "stack"):
            path = f"/proc/{pid}/{what}"
            try:
                os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
            except OSError:
                continue
            raise RuntimeError(f"BREACH: {path}")
    raise RuntimeError("nothing of the parents to see")


peak = relay = offset = mix


{{layer}}
