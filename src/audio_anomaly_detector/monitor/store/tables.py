"""The tables of the store, as the newest migration leaves them; times are s since 1970 UTC."""

import json
import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class AnyText(TypeDecorator[str]):
    """Text that may hold anything, such as the name of a file that is no valid Unicode.

    Databases refuse NUL and lone surrogates: such text is kept as a JSON string, as is text that
    looks like one. So different text stays different, and what is usual is readable.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """What the database holds."""
        if value is None or (_is_storable(value) and not value.startswith('"')):
            return value
        return json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """What was given."""
        return json.loads(value) if value is not None and value.startswith('"') else value


class Json(TypeDecorator[Any]):
    """Plain data as JSON in ASCII; numbers that are not finite become null, which JSON has not."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """What the database holds."""
        return json.dumps(finite(value), allow_nan=False, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """What was given."""
        return json.loads(value)


def finite(value: Any) -> Any:
    """Plain data with None for numbers that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


_COUNTED = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only its Integer

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("id", AnyText, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("name", AnyText, nullable=False),
    Column("kind", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("started", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("ended", Double),
    Column("words", Json, nullable=False),
    Column("course", Json, nullable=False),
    Column("folder", AnyText),
    Index("events_by_start", "started"),
    Index("events_by_end", "ended"),
)

# Deliveries that are still to be made, in the order of their ids; a delivery that was made is
# deleted. Ids are never used again, so that a late confirmation cannot hit another row.
outbox = Table(
    "outbox",
    metadata,
    Column("id", _COUNTED, primary_key=True, autoincrement=True),
    Column("sink", AnyText, nullable=False),
    Column("key", AnyText, nullable=False),
    Column("event", Json, nullable=False),
    Column("created", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failed_at", Double),
    Column("retry_at", Double),
    Column("error", AnyText),
    UniqueConstraint("sink", "key", name="outbox_once"),
    Index("outbox_in_order", "sink", "id"),
    sqlite_autoincrement=True,
)

states = Table(
    "states",
    metadata,
    Column("key", AnyText, primary_key=True),
    Column("state", Json, nullable=False),
)

silences = Table(
    "silences",
    metadata,
    Column("id", _COUNTED, primary_key=True, autoincrement=True),
    Column("name", AnyText, nullable=False),
    Column("since", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("reason", AnyText, nullable=False),
    sqlite_autoincrement=True,
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", _COUNTED, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("name", AnyText, nullable=False),
    Column("event", AnyText),
    Column("kind", Text, nullable=False),
    Column("note", AnyText, nullable=False),
    Column("undone", Double),
    sqlite_autoincrement=True,
)
