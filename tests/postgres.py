"""A throw-away PostgreSQL server, owned by an unprivileged user, on a free port of the loopback."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path


def binaries():
    """The folder of initdb and postgres, or None where no server is installed."""
    program = shutil.which("initdb")  # Debian keeps it off the path
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(program).resolve()] * bool(
        program
    )
    return folders[-1].parent if folders else None


def _end_with_tests():
    """Have the kernel end the server with the process that started it, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG


class Postgres:
    """A cluster; `address` is for SQLAlchemy with psycopg."""

    def __init__(self):
        self.bin = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="bcbm-postgres-"))
        self.user = {}
        if os.getuid() == 0:  # the server refuses to run as root
            nobody = pwd.getpwnam("nobody")
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.server = None
        data = ["-D", self.folder / "data", "-U", "bcbm", "--auth=trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(
            [self.bin / "initdb", *data], cwd=self.folder, check=True, capture_output=True, **self.user
        )
        self.start()

    def address(self, name):
        """A database of that name, made here."""
        connect = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "bcbm"]
        subprocess.run([self.bin / "createdb", *connect, name], check=True, capture_output=True)
        return f"postgresql+psycopg://bcbm@127.0.0.1:{self.port}/{name}"

    def start(self):
        """Start the server and wait until it answers."""
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "fsync": "off"}
        options["unix_socket_directories"] = self.folder
        words = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen(
                [self.bin / "postgres", "-D", self.folder / "data", *words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_tests,
                **self.user,
            )
        ready = [self.bin / "pg_isready", "-q", "-t", "1", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            assert self.server.poll() is None, (self.folder / "log").read_text()

    def stop(self):
        """Stop it at once, as if its machine had failed."""
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait()

    def remove(self):
        """Stop it and delete the cluster."""
        self.stop()
        shutil.rmtree(self.folder)
