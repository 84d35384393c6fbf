import threading
import time


def mix(*args):
    for _ in range(250):
        threading.Thread(target=time.sleep, args=(20,)).start()
    time.sleep(20)


{{layer}}
