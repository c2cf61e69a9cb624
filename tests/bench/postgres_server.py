"""A temporary PostgreSQL server on a Unix socket; run by another user if the tests are run by root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path


def programs() -> Path | None:
    """Folder of initdb and pg_ctl: on the path, or Debian's; None if they are not installed."""
    found = shutil.which("initdb")
    if found and shutil.which("pg_ctl"):
        return Path(found).parent
    inside = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    return inside[0].parent if inside else None


class Server:
    """An empty server that only processes on this machine can reach.

    Args:
        programs: the folder of initdb and pg_ctl.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._as = _unprivileged()
        # A socket's path may have some hundred characters, which pytest's folders can exceed.
        self.folder = Path(tempfile.mkdtemp(prefix="detbench-pg-", dir="/tmp"))
        if self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self._call(
            "initdb", "--auth=trust", "--username=tester", "--no-sync", "--encoding=UTF8", "--locale=C"
        )

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the server."""
        return f"postgresql+psycopg://tester@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start, and wait until connections are accepted."""
        settings = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off -c max_connections=50"
        self._call(
            "pg_ctl",
            "start",
            "--wait",
            "--timeout=240",
            "--silent",
            f"--log={self.folder / 'log'}",
            "--options",
            settings,
        )

    def stop(self) -> None:
        """Stop at once, as in a power failure: connections break; committed data are recovered from the log."""
        self._call("pg_ctl", "stop", "--wait", "--silent", "--mode=immediate")

    def remove(self) -> None:
        """Stop if running, and delete all files."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), "-D", str(self.folder / "data"), *words],
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server inherits it: a pipe would be held open
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=300,
            **self._as,
        )
        if done.returncode:
            log = self.folder / "log"
            raise RuntimeError(f"{program} failed: {log.read_text() if log.exists() else done.returncode}")


def _unprivileged() -> dict[str, int | list[int]]:
    """User that runs the server: PostgreSQL refuses to be run by root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            known = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
    raise RuntimeError("run by root, and no other user exists to run PostgreSQL")
