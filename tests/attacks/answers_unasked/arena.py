import os
import threading
import time

import msgspec

{{raw}}


def chatter():
    for number in range(200):
        send(framed(msgspec.msgpack.encode({"type": "done", "id": number, "value": True})))
        time.sleep(0.01)


threading.Thread(target=chatter, daemon=True).start()


def mix(*args):
    return None


peak = relay = offset = mix
