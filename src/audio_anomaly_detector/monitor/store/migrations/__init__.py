"""Changes of the tables, one after the other, as Alembic applies them."""
