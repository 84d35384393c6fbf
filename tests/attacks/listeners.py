"""Loopback listeners that no attack may reach, and a log of who did."""

import secrets
import socket
import threading
from pathlib import Path


class Listeners:
    """TCP and UDP on loopback, a Unix socket, an abstract one. `words` is how an attack finds them."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        path = root / "listener"
        name = f"arena-mark-{secrets.token_hex(6)}"
        self.contacts: list[str] = []
        self._sockets = {
            "tcp": _bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": _bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "unix": _bound(socket.AF_UNIX, socket.SOCK_STREAM, str(path)),
            "abstract": _bound(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{name}"),
        }
        path.chmod(0o777)
        self.words = {kind: str(self._sockets[kind].getsockname()[1]) for kind in ("tcp", "udp")}
        self.words |= {"unix": str(path), "abstract": name}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._listen, args=item) for item in self._sockets.items()]

    def __enter__(self) -> "Listeners":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for sock in self._sockets.values():
            sock.close()

    def _listen(self, kind: str, sock: socket.socket) -> None:
        sock.settimeout(0.2)
        while not self._stop.is_set():
            try:
                if kind == "udp":
                    self.contacts.append(f"udp: {sock.recv(100)!r}")
                else:
                    sock.accept()[0].close()
                    self.contacts.append(kind)
            except TimeoutError:
                continue


def _bound(family: int, kind: int, address: object) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.bind(address)  # type: ignore[arg-type]
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock
