{{layer}}


import os
import time

ends_at = time.monotonic() + 0.7
for folder, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if f not in ("proc", "sys", "lib", "lib64", "usr", "dev")]
    for file in files:
        if file == "arena.py":
            exec(open(os.path.join(folder, file)).read())
    if time.monotonic() > ends_at:
        break
