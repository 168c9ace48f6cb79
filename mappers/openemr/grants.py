"""The account may do what the mapping needs, column by column, and nothing more."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from mappers.openemr.errors import WideGrantsError
from mappers.openemr.tables import ALL, CROSS_REFERENCE, grants

_OWN_TABLE = frozenset({"SELECT", "INSERT", "UPDATE"})


def refuse_wider(connection: Connection, schema: str, sync_schema: str) -> None:
    """Raise when the account has a right that the mapping does not need."""
    wide = sorted(_wider(connection, schema, sync_schema))
    if wide:
        raise WideGrantsError(f"The account may do more than it needs: {'; '.join(wide[:5])}.")


def _wider(connection: Connection, schema: str, sync_schema: str) -> Iterator[str]:
    # information_schema shows an account its own privileges only.
    for (privilege,) in connection.execute(
        text("SELECT privilege_type FROM information_schema.user_privileges")
    ):
        if privilege != "USAGE":
            yield f"{privilege} on everything"
    for name, privilege in connection.execute(
        text("SELECT table_schema, privilege_type FROM information_schema.schema_privileges")
    ):
        yield f"{privilege} on {name}.*"
    for name, table_name, privilege in connection.execute(
        text("SELECT table_schema, table_name, privilege_type FROM information_schema.table_privileges")
    ):
        # A table whose columns are granted one by one appears here too, without a privilege of its own.
        own = (name, table_name) == (sync_schema, CROSS_REFERENCE) and privilege in _OWN_TABLE
        if not own and privilege != "USAGE":
            yield f"{privilege} on {name}.{table_name}"
    wanted = {
        (mapped.name, privilege): names for mapped in ALL for privilege, names in grants(mapped).items()
    }
    for name, table_name, column_name, privilege in connection.execute(
        text(
            "SELECT table_schema, table_name, column_name, privilege_type"
            " FROM information_schema.column_privileges"
        )
    ):
        if name != schema or column_name not in wanted.get((table_name, privilege), frozenset()):
            yield f"{privilege} on {name}.{table_name}.{column_name}"
    if connection.execute(text("SELECT COUNT(*) FROM information_schema.applicable_roles")).scalar_one():
        yield "a role"
