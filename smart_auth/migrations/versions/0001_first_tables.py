"""Users, clients, grants and what ends them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(64)
TIME = sa.BigInteger()


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "users",
        sa.Column("id", ID, primary_key=True),
        sa.Column("username", sa.String(255), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(255)),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("fhir_user", sa.String(128)),
        sa.Column("organization", ID),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", ID),
    )
    op.create_table(
        "clients",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("secret_hash", ID),
        sa.Column("jwks", sa.Text()),
        sa.Column("redirect_uris", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("role", sa.String(16)),
        sa.Column("organization", ID),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    op.create_table(
        "grants",
        sa.Column("id", ID, primary_key=True),
        sa.Column("user_id", ID, sa.ForeignKey("users.id"), nullable=False, index=True),
        sa.Column("client_id", sa.String(255), sa.ForeignKey("clients.id"), nullable=False, index=True),
        sa.Column("session_id", ID, nullable=False, index=True),
        sa.Column("code_hash", ID, nullable=False, unique=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("patient", ID),
        sa.Column("auth_time", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", ID, primary_key=True),
        sa.Column("grant_id", ID, sa.ForeignKey("grants.id"), nullable=False, index=True),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME),
    )
    op.create_table(
        "consents",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("user_id", ID, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("client_id", sa.String(255), sa.ForeignKey("clients.id"), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("granted_at", TIME, nullable=False),
        sa.UniqueConstraint("user_id", "client_id"),
    )
    op.create_table(
        "links",
        sa.Column("hash", ID, primary_key=True),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("user_id", ID, sa.ForeignKey("users.id")),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME),
    )
    op.create_table(
        "revocations",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value", ID, nullable=False),
        sa.Column("expires_at", TIME, nullable=False, index=True),
        sa.UniqueConstraint("kind", "value"),
    )
    epoch = op.create_table(
        "epoch",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("value", TIME, nullable=False),
    )
    op.bulk_insert(epoch, [{"id": 1, "value": 1}])
    op.create_table(
        "login_failures",
        sa.Column("key", ID, primary_key=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", TIME, nullable=False, index=True),
        sa.Column("wait_until", TIME, nullable=False),
    )
