"""Alembic's entry: runs on the connection that `smart_auth.database` has opened and locked."""

from alembic import context

from smart_auth.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
