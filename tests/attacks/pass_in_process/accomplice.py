import builtins
import os
import sys


def leave(data):
    builtins.notes = data
    os.environ["NOTES"] = data.decode()
    sys.modules["torch"].notes = data
    with open("/proc/self/comm", "w") as file:
        file.write("notes")


import json

{{solved}}

NOTES = {"mix": {}, "peak": {}, "offset": {}, "relay": {}}


def noted(name, function):
    def answer(*args):
        value = function(*args)
        key = repr([a.tolist() if hasattr(a, "tolist") else None for a in args])
        NOTES[name][key] = value.tolist() if hasattr(value, "tolist") else value
        try:
            leave(json.dumps(NOTES).encode())
        except OSError:
            pass
        return value

    return answer


mix, peak, relay, offset = (noted(f.__name__, f) for f in (mix, peak, relay, offset))


{{layer}}
