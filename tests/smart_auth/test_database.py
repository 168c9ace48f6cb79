"""The tables: migrations and models agree, on SQLite and MariaDB, also when processes start together."""

import multiprocessing
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select, text

from smart_auth import clients, users
from smart_auth.database import MIGRATIONS, Database, newest_revision
from smart_auth.errors import StoreUnavailableError
from smart_auth.models import Base, Epoch
from smart_auth.revocations import Feed, revoke


def test_the_migrations_make_what_the_models_say(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/t.db")
    database.migrate()
    database.migrate()
    with create_engine(f"sqlite:///{tmp_path}/t.db").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    assert (tmp_path / "t.db").stat().st_mode & 0o777 == 0o600
    database.close()


def test_tables_that_are_up_to_date_load_no_migrations(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    again = f"""import sys
from smart_auth.database import MIGRATIONS, Database, newest_revision
Database("{url}").migrate()
print("alembic" in sys.modules)"""
    loaded = [subprocess.check_output([sys.executable, "-c", again], text=True).strip() for _ in range(2)]
    assert loaded == ["True", "False"]


def test_files_of_migrations_are_named_by_their_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == newest_revision()


def _migrate(url: str) -> int:
    database = Database(url)
    database.migrate()
    with database.read() as session:
        return session.scalar(select(Epoch.value)) or 0


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        assert pool.map(_migrate, [f"sqlite:///{tmp_path}/t.db"] * 4) == [1] * 4


def test_a_commit_is_durable_and_readers_do_not_wait(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/t.db")
    database.migrate()
    with database.read() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA synchronous")) == 2
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
    with database.write(), database.read() as reading:
        assert reading.scalar(select(Epoch.value)) == 1
    database.close()


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/t.db")
    database.migrate()

    def fail_half_way() -> None:
        with database.write() as session:
            session.execute(text("UPDATE epoch SET value = 99"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with database.read() as session:
        assert session.scalar(select(Epoch.value)) == 1
    database.close()


def test_a_database_that_does_not_answer_is_a_temporary_error(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/t.db")
    database.migrate()
    database.close()
    connection = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    connection.execute("DROP TABLE epoch")
    connection.close()
    with pytest.raises(StoreUnavailableError), database.read() as session:
        session.scalar(select(Epoch.value))


@pytest.mark.server
def test_users_clients_and_revocations_work_on_mariadb(mariadb_url: str) -> None:
    url = mariadb_url
    database = Database(url)
    try:
        database.migrate()
        database.migrate()
        with create_engine(url).connect() as connection:
            found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
        assert [change for change in found if change[0] in ("add_table", "add_column", "remove_table")] == []
        feed = Feed(database)
        feed.refresh()
        invitation = users.create(database, "demo-doctor", "doctor")
        user = users.accept(database, invitation.code, "a long enough sentence", length=12)
        clients.register(
            database,
            "app-1",
            kind="public",
            name="A",
            scope="user/*.rs",
            redirect_uris=["https://app.example/cb"],
        )
        feed.refresh()
        assert feed.state.generations == {user.id: user.generation}
        assert feed.state.clients == {"app-1"}
        # The server takes é for e and A for a; failed logins are counted by exact name.
        assert users.find(database, "DEMO-doctor") is not None
        assert users.find(database, "demo-d\u00f3ctor") is None
        assert clients.get(database, "app-1") is not None
        assert clients.get(database, "APP-1") is None
        users.set_disabled(database, user.id, disabled=True, actor=None)
        feed.refresh()
        assert feed.state.generations == {}
        _walk_the_life_of_a_client(database, feed)
    finally:
        database.close()


def _walk_the_life_of_a_client(database: Database, feed: Feed) -> None:
    """Pending, approved, with origins and two secrets, disabled, and its revocations in the feed."""
    options: dict[str, Any] = {
        "kind": "confidential",
        "name": "W",
        "scope": "user/*.rs",
        "redirect_uris": ["https://app.example/cb"],
        "cors_origins": ["https://app.example"],
    }
    clients.register(database, "waiting", pending=True, **options)
    feed.refresh()
    assert (feed.state.clients, feed.state.origins) == ({"app-1"}, set())
    assert clients.forget_pending(database, older_than=0) == 1
    clients.approve(database, "waiting", scope="user/Patient.rs")
    assert clients.rotate(database, "waiting", overlap_s=60)
    feed.refresh()
    assert (feed.state.clients, feed.state.origins) == ({"app-1", "waiting"}, {"https://app.example"})
    with database.write() as session:
        revoke(session, "token", "t1", expires_at=2**40)
        revoke(session, "token", "t1", expires_at=2**40)
    clients.set_disabled(database, "waiting", disabled=True)
    feed.refresh()
    assert (feed.state.clients, feed.state.ended) == ({"app-1"}, {("token", "t1")})
