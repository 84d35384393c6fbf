"""What an attack could reach or leave behind: loopback listeners, processes, files, mounts, memory segments."""

import hashlib
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

_SHARED = ("/tmp", "/dev/shm", "/var/tmp")
_SEGMENT = 0xA2E7A  # the key of the attacks' System V memory


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


# ---------------------------------------------------------------- before and after


def watch(process: "subprocess.Popen[bytes]", limit_s: float = 420.0) -> dict[tuple[int, float], int]:
    """Every process below the command line, as (pid, start) -> uid, until it ends."""
    seen: dict[tuple[int, float], int] = {}
    ends_at = time.monotonic() + limit_s
    while process.poll() is None:
        if time.monotonic() > ends_at:
            process.kill()
        try:
            for child in psutil.Process(process.pid).children(recursive=True):
                seen[child.pid, child.create_time()] = child.uids().real
        except psutil.Error:
            pass
        time.sleep(0.4)
    return seen


def sandbox_uids(seen: dict[tuple[int, float], int]) -> set[int]:
    """The uids that only the sandboxes of this run had."""
    return {uid for uid in seen.values() if uid >= 1_600_000_000}


def still_alive(seen: dict[tuple[int, float], int]) -> list[str]:
    """Processes from below the command line, or of a uid that only its sandboxes had, that still run."""
    uids = sandbox_uids(seen)
    alive = []
    for process in psutil.process_iter(["pid", "create_time", "uids", "name", "status"]):
        info = process.info
        ours = (info["pid"], info["create_time"]) in seen or (info["uids"] and info["uids"].real in uids)
        if ours and info["status"] != psutil.STATUS_ZOMBIE:
            alive.append(f"{info['pid']} {info['name']}")
    return alive


def traces(arena: Any) -> dict[str, list[str]]:
    """What a sandbox could leave: files, mounts, System V memory, changes to the course and the submissions."""
    files = [str(p) for folder in (*_SHARED, str(arena.root)) for p in _marked(Path(folder))]
    ours = ("newroot", "oldroot", "autograder-", str(arena.root))
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if any(w in line for w in ours)]
    segments = [line.split()[0] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {
        "files": files,
        "mounts": mounts,
        "segments": [key for key in segments if key == str(_SEGMENT)],  # the attacks' own
        "course": [f"{p} {_digest(p)}" for p in sorted(arena.course.rglob("*")) if p.is_file()],
        "submissions": [f"{p} {p.lstat().st_mtime_ns}" for p in sorted(arena.submitted.rglob("*"))],
    }


def _marked(folder: Path) -> Iterator[Path]:
    """Files that an attack made: they all say so in their names."""
    if folder.is_dir():
        yield from (p for p in folder.iterdir() if p.name.startswith("arena-mark"))


def owned_by(uids: set[int]) -> list[str]:
    """Files of the sandboxes' own uids: scratch folders, and what lies beside them."""
    folders = [Path(folder) for folder in _SHARED if Path(folder).is_dir()]
    return [str(p) for folder in folders for p in folder.iterdir() if p.lstat().st_uid in uids]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
