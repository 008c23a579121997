"""A PostgreSQL server of the tests' own, from Debian's packages or any other whose programs are found here."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

PLACES = "/usr/lib/postgresql/*/bin"  # Debian's


def programs() -> Path | None:
    """The folder of ``initdb`` and ``pg_ctl``, the newest version's; None where there is none."""
    for place in sorted(Path("/").glob(PLACES[1:]), reverse=True):
        if (place / "initdb").is_file():
            return place
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found and shutil.which("pg_ctl") else None


def missing() -> str:
    """Why there can be no server here; empty where there can."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed (the extra 'postgres')"
    if programs() is None:
        return "no PostgreSQL programs (initdb, pg_ctl) here; on Debian: apt-get install postgresql"
    if os.geteuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' to run it as"
    return ""


def _user() -> str | None:
    """Whom root runs the server as."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


class Server:
    """A server with an empty database in a folder of its own, on a free port of this machine."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="forgetting-postgres-"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        if os.geteuid() == 0:
            shutil.chown(self.folder, _user())
        self._run("initdb", "-D", str(self.data), "-U", "forgetting", "--auth=trust", "--no-sync")
        self.start()

    @property
    def address(self) -> str:
        """For Optuna."""
        return self.database("postgres")

    def database(self, name: str) -> str:
        """The address of one of the server's databases."""
        return f"postgresql+psycopg://forgetting@127.0.0.1:{self.port}/{name}"

    def create(self, name: str) -> str:
        """Make an empty database; its address."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "forgetting", name)
        return self.database(name)

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop; by default as in a crash, connections cut off."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def remove(self) -> None:
        """Stop it if it runs, and delete its folder."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *words: str) -> None:
        place = programs()
        assert place
        as_whom = {"user": _user(), "group": pwd.getpwnam(str(_user())).pw_gid} if os.geteuid() == 0 else {}
        with open(self.folder / "said", "w+") as said:  # a pipe would stay open in the server
            status = subprocess.call(
                [str(place / program), *words],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self.folder, timeout=120, **as_whom,
            )  # fmt: skip
            said.seek(0)
            if status:
                raise RuntimeError(f"{program} ended with status {status}: {said.read()[-2000:]}")
