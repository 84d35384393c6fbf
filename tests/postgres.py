"""A PostgreSQL server of our own on loopback, where one is installed."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

USER = "grader"


def program(name: str) -> str | None:
    """Where a program of PostgreSQL's is; Debian keeps them off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


def why_not() -> str:
    """Why there can be no server here, or nothing."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed"
    return "" if program("initdb") and program("pg_ctl") else "no PostgreSQL is installed"


@contextmanager
def server() -> Iterator[str]:
    """A server in a folder of its own; yields its address without a database's name.

    It refuses to run as root: there it runs as the user `postgres` that its package made, which must be able to enter
    the folder. pytest closes its own to others again and again, so it is none of those.
    """
    with tempfile.TemporaryDirectory(prefix="autograder-postgres-") as folder:
        os.chmod(folder, 0o711)
        with _serving(Path(folder)) as address:
            yield address


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    data = folder / "data"
    data.mkdir()
    as_user = []
    if os.getuid() == 0:
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        shutil.chown(data, "postgres", "postgres")
    data.chmod(0o700)

    def run(name: str, *args: str) -> None:
        tool = program(name)
        assert tool is not None
        with open(folder / f"{name}.log", "ab") as log:  # a pipe would be held open by the server
            done = subprocess.run(
                [*as_user, tool, "-D", str(data), *args], stdout=log, stderr=log, cwd="/", check=False
            )
        assert done.returncode == 0, (folder / f"{name}.log").read_text()

    run("initdb", "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {data}"
    run("pg_ctl", "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://{USER}:secret@127.0.0.1:{port}"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")


def new_database(address: str, name: str) -> str:
    """Make a database and return its address."""
    import psycopg

    with psycopg.connect(f"{address.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"{address}/{name}"
