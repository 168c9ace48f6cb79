"""OpenEMR's tables on the session's MariaDB: our own schema and, where it is there, OpenEMR's whole one."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from deploy.settings import ROOT
from mappers.openemr.database import OpenEMRDatabase
from mappers.openemr.settings import OpenEMRSettings
from tests.servers.stack import Stack

MARIADB = ROOT / "deploy" / "mariadb"
OPENEMRS_OWN = ROOT.parent / "shared" / "data" / "openemr" / "database.sql"
SCHEMAS = {"ours": MARIADB / "openemr.sql"} | ({"openemrs": OPENEMRS_OWN} if OPENEMRS_OWN.exists() else {})
PASSWORD = "only-on-this-machine"


class Hospital:
    """One OpenEMR database with its synchronising account, and the resources that HAPI would have."""

    def __init__(self, stack: Stack, name: str, schema: Path) -> None:
        self.socket = stack.var / "run" / "mariadb.sock"
        self.name, self.sync_name, self.account = f"openemr_{name}", f"neuronova_{name}", f"oesync_{name}"
        port = stack.settings.mariadb_port
        server = f"mysql+pymysql://{self.account}:{PASSWORD}@127.0.0.1:{port}"
        self.settings = OpenEMRSettings(
            database_url=f"{server}/{self.name}?charset=utf8mb4",
            sync_database_url=f"{server}/{self.sync_name}?charset=utf8mb4",
            time_zone="+09:00",
        )
        self.root("mysql", f"""
            DROP DATABASE IF EXISTS {self.name}; DROP DATABASE IF EXISTS {self.sync_name};
            CREATE DATABASE {self.name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
            CREATE DATABASE {self.sync_name} CHARACTER SET utf8mb4;
            CREATE OR REPLACE USER '{self.account}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
        """)  # fmt: skip
        self.root(self.name, schema.read_text())
        self.root(self.sync_name, (MARIADB / "neuronova.sql").read_text())
        self.grant()
        self.engine: Engine = create_engine(
            f"mysql+pymysql://root@localhost/{self.name}?unix_socket={self.socket}&charset=utf8mb4",
            isolation_level="AUTOCOMMIT",
        )
        self.database = OpenEMRDatabase(self.settings)
        self.resources: dict[tuple[str, str], dict[str, Any]] = {}

    def grant(self) -> None:
        """Give the account what grants.sql gives, in this database."""
        script = (MARIADB / "grants.sql").read_text()
        script = re.sub(r"\boesync\b", self.account, script)
        script = re.sub(r"\bneuronova\.", f"{self.sync_name}.", script)
        self.root("mysql", re.sub(r"\bopenemr\b", self.name, script))

    def root(self, database: str, script: str) -> None:
        """Run a script as the server's administrator."""
        command = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", database]
        done = subprocess.run(command, input=script.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()

    def rows(self, query: str, **values: Any) -> list[Mapping[str, Any]]:
        """Read as the administrator."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(query), values).mappings()]

    def run(self, statement: str, **values: Any) -> None:
        """Write as somebody in OpenEMR would."""
        with self.engine.connect() as connection:
            connection.execute(text(statement), values)

    def put(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Let HAPI have a resource."""
        self.resources[resource["resourceType"], resource["id"]] = resource
        return resource

    async def read(self, type_: str, id_: str) -> dict[str, Any]:
        """Read what HAPI has."""
        return self.resources[type_, id_]

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()
        self.engine.dispose()


@pytest.fixture(scope="session", params=SCHEMAS)
def hospital(request: pytest.FixtureRequest, mariadb: Stack) -> Iterator[Hospital]:
    """One OpenEMR of each schema that there is."""
    made = Hospital(mariadb, request.param, SCHEMAS[request.param])
    yield made
    made.close()
