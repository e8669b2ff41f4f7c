"""Run by Alembic: applies the migrations within the transaction of the connection it is given."""

from alembic import context

from audio_anomaly_detector.monitor.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    transactional_ddl=True,  # SQLite can, too: a migration that is killed changes nothing
)
with context.begin_transaction():
    context.run_migrations()
