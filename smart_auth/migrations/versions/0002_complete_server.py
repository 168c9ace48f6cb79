"""Second factor, rotation of client secrets, registration by an app, launch context and consent."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.String(64)
TIME = sa.BigInteger()
# A TEXT column takes no default everywhere: existing rows are filled, then the column is required.
CLIENT_LISTS = ("post_logout_redirect_uris", "cors_origins", "contacts")


def upgrade() -> None:
    """Add the columns; what is there keeps its meaning."""
    with op.batch_alter_table("users") as users:
        users.add_column(sa.Column("totp_secret", sa.Text()))
        users.add_column(sa.Column("totp_step", TIME))
    op.create_table(
        "recovery_codes",
        sa.Column("hash", ID, primary_key=True),
        sa.Column("user_id", ID, sa.ForeignKey("users.id"), nullable=False, index=True),
        sa.Column("used_at", TIME),
    )
    with op.batch_alter_table("clients") as clients:
        clients.add_column(sa.Column("previous_secret_hash", ID))
        clients.add_column(sa.Column("previous_secret_until", TIME))
        clients.add_column(sa.Column("jwks_uri", sa.Text()))
        clients.add_column(sa.Column("launch_uri", sa.Text()))
        clients.add_column(sa.Column("created_by", ID))
        for name in CLIENT_LISTS:
            clients.add_column(sa.Column(name, sa.Text()))
    _fill("clients", CLIENT_LISTS, "[]")
    with op.batch_alter_table("grants") as grants:
        grants.add_column(sa.Column("encounter", ID))
        grants.add_column(sa.Column("launch", sa.Text()))
    with op.batch_alter_table("consents") as consents:
        consents.add_column(sa.Column("asked", sa.Text()))
    _fill("consents", ("asked",), "")


def _fill(name: str, columns: tuple[str, ...], value: str) -> None:
    table = sa.table(name, *(sa.column(column) for column in columns))
    op.execute(table.update().values({column: value for column in columns}))
    with op.batch_alter_table(name) as altered:
        for column in columns:
            altered.alter_column(column, existing_type=sa.Text(), nullable=False)
