"""The table of programs: what runs, from which environment, and how it is stopped."""

import shutil
from dataclasses import dataclass
from functools import cache

from deploy.settings import ROOT, Settings
from deploy.setup.shim import STAMPS
from deploy.setup.steps import BUILD, digest
from deploy.setup.store import ARCHIVE, JAR

FACADE = str(ROOT / ".venv" / "facade" / "bin" / "python")
WORKER = str(ROOT / ".venv" / "worker" / "bin" / "python")
UVICORN = ("-m", "uvicorn", "--factory", "--no-server-header", "--no-access-log", "--log-level", "warning")
# nginx is the only peer of the sockets, so its X-Forwarded-For is the client's address.
BEHIND_NGINX = ("--proxy-headers", "--forwarded-allow-ips", "*", "--timeout-graceful-shutdown", "5")


SERVERS = ("redis", "mariadb", "hapi", "orthanc", "audit-shipper")
"""Stopped last: what the others still need to finish their work and to record it."""

PACKAGES = ("facade", "smart_auth", "mappers", "imaging", "inference", "subscriptions")


@dataclass(frozen=True)
class Program:
    """One supervised process."""

    name: str
    command: tuple[str, ...]
    configuration: tuple[str, ...] = ()
    """Rendered files whose change restarts it, relative to etc/."""
    stop_wait_s: int = 10


def table(settings: Settings) -> dict[str, Program]:
    """Every program of the product, in the order in which starting is most useful."""
    var = settings.var
    etc = var / "etc"
    listed = [
        Program("redis", ("redis-server", f"{etc}/redis.conf"), ("redis.conf",)),
        Program(
            "mariadb",
            (_mariadbd(), f"--defaults-file={etc}/mariadb.cnf"),
            ("mariadb.cnf", "mariadb-init.sql"),
            stop_wait_s=30,
        ),
        Program("hapi", _hapi(settings), stop_wait_s=30),
        Program("orthanc", (_found("Orthanc"), f"{etc}/orthanc.json"), ("orthanc.json",), stop_wait_s=20),
        Program(
            "nginx",
            (
                _found("nginx"),
                "-p",
                f"{var}/run/nginx",
                "-c",
                f"{etc}/nginx.conf",
                "-e",
                f"{var}/log/nginx.log",
            ),
            ("nginx.conf", "www/index.html"),
        ),
        Program(
            "facade",
            (FACADE, *UVICORN, *BEHIND_NGINX, "--uds", f"{var}/run/facade.sock", "facade.app:create"),
        ),
        Program(
            "pixels",
            (WORKER, *UVICORN, *BEHIND_NGINX, "--uds", f"{var}/run/pixels.sock", "imaging.app:create"),
        ),
        Program(
            "receiver",
            (
                WORKER,
                *UVICORN,
                "--host",
                "127.0.0.1",
                "--port",
                str(settings.receiver_port),
                "subscriptions.app:create",
            ),
        ),
        Program("audit-shipper", (FACADE, "-m", "facade.audit.shipper")),
        Program("ingest", (WORKER, "-m", "subscriptions.ingest")),
        *(
            Program(f"worker-{queue}", (WORKER, "-m", "subscriptions.worker", queue), stop_wait_s=20)
            for queue in ("imaging", "inference", "openemr", "notify")
        ),
        Program("scheduler", (WORKER, "-m", "subscriptions.scheduler")),
    ]
    return {program.name: program for program in listed}


@cache
def code(program: str) -> str:
    """Digest of what the program was made from, so that `up` restarts it after a change.

    Computed once in a process: a test session that starts its programs one by one must not restart others.
    """
    if program == "hapi":
        files = [BUILD / "hapi.stamp"]
    elif program == "orthanc":
        files = list(STAMPS)
    elif program in {"redis", "mariadb", "nginx"}:
        files = []
    else:
        locks = [ROOT / "requirements-facade.lock", ROOT / "requirements-worker.lock"]
        files = [*locks, *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    return digest([path for path in files if path.exists()])


def _hapi(settings: Settings) -> tuple[str, ...]:
    # What Tomcat leaves behind when it is killed goes with the installation.
    fixed = ("-XX:+UseSerialGC", f"-XX:SharedArchiveFile={ARCHIVE}", f"-Djava.io.tmpdir={settings.var}/run")
    options = (*fixed, *settings.hapi_java_options.split())
    return ("java", f"-Xmx{settings.hapi_heap}", *options, "-jar", str(JAR))


def _mariadbd() -> str:
    return _found("mariadbd")


def _found(command: str) -> str:
    """Daemons live in /usr/sbin, which is not on every user's path."""
    return (
        shutil.which(command)
        or shutil.which(command, path="/usr/sbin:/usr/local/sbin")
        or f"/usr/sbin/{command}"
    )
