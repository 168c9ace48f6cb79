"""Prepares MariaDB: its data directory before the first start, the schemas and grants after each.

Every step can be killed and run again: the data directory and OpenEMR's tables are made aside and moved into
place by one rename.
"""

import os
import shutil
import subprocess
from pathlib import Path

from deploy.errors import DeployError
from deploy.settings import ROOT, Settings

SOURCE = ROOT / "deploy" / "mariadb"
ASIDE = "openemr_loading"


def initialise(settings: Settings) -> None:
    """Make the data directory when there is none.

    The server's root has no password: it is reached through the private socket, by the system user who runs
    the product, and by nobody else.
    """
    final = settings.var / "mariadb"
    if (final / "mysql").is_dir():
        return
    part = settings.var / "mariadb.part"
    shutil.rmtree(part, ignore_errors=True)
    command = [
        _found("mariadb-install-db"),
        "--no-defaults",
        f"--datadir={part}",
        "--auth-root-authentication-method=socket",
        f"--auth-root-socket-user={_user()}",
        "--skip-test-db",
        "--skip-name-resolve",
        *(["--user=root"] if os.geteuid() == 0 else []),
    ]
    log = settings.var / "log" / "mariadb-install.log"
    with log.open("ab") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise DeployError(
            "MariaDB's data directory could not be made", do="read the log's last lines", log=log
        )
    shutil.rmtree(final, ignore_errors=True)
    part.replace(final)


def provision(settings: Settings) -> None:
    """Load OpenEMR's schema into an empty database, then our own schema and the grants."""
    if not _tables(settings, "openemr"):
        schema = Path(settings.openemr_schema) if settings.openemr_schema else SOURCE / "openemr.sql"
        if schema.exists():
            _load_aside(settings, schema)
    for name, database in (("neuronova.sql", "neuronova"), ("grants.sql", "mysql")):
        if (SOURCE / name).exists():
            _run(settings, (SOURCE / name).read_bytes(), database)


def _load_aside(settings: Settings, schema: Path) -> None:
    """DDL is not transactional, one RENAME TABLE is: the database is empty or whole, never half."""
    empty = f"DROP DATABASE IF EXISTS {ASIDE}; CREATE DATABASE {ASIDE} CHARACTER SET utf8mb4;"
    _run(settings, empty.encode())
    _run(settings, schema.read_bytes(), ASIDE)
    tables = _tables(settings, ASIDE)
    renames = ", ".join(f"{ASIDE}.`{table}` TO openemr.`{table}`" for table in tables)
    _run(settings, f"RENAME TABLE {renames}; DROP DATABASE {ASIDE};".encode())


def _tables(settings: Settings, database: str) -> list[str]:
    return _run(settings, f"SHOW TABLES IN {database}".encode()).decode().split()


def _run(settings: Settings, sql: bytes, database: str = "mysql") -> bytes:
    """Statements by the server's own client, on its standard input: nothing of them is in a command line."""
    command = [
        _found("mariadb"),
        "--no-defaults",
        f"--socket={settings.var}/run/mariadb.sock",
        f"--user={_user() if os.geteuid() else 'root'}",
        "--batch",
        "--skip-column-names",
        "--default-character-set=utf8mb4",
        database,
    ]
    done = subprocess.run(command, input=sql, capture_output=True, check=False)
    if done.returncode != 0:
        log = settings.var / "log" / "mariadb-provision.log"
        log.write_bytes(done.stderr)
        raise DeployError("MariaDB refused a statement of the set-up", do="read the log", log=log)
    return done.stdout


def _user() -> str:
    return "root" if os.geteuid() == 0 else os.environ.get("USER") or Path.home().name


def _found(command: str) -> str:
    return shutil.which(command) or f"/usr/bin/{command}"
