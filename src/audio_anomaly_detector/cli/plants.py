"""The plant that the verbs of live monitoring are about."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from audio_anomaly_detector.errors import UserError

if TYPE_CHECKING:
    from audio_anomaly_detector.monitor.plant import Plant

_NEEDED = ("sqlalchemy", "alembic", "prometheus_client", "structlog")


def described_plant(file: Path) -> "Plant":
    """What the file of a plant says.

    Raises:
        UserError: the extra `watch` is not installed; anything in the file is wrong.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(
            f"live monitoring needs {', '.join(missing)}; install the extra: "
            "pip install 'audio-anomaly-detector[watch]'"
        )
    from audio_anomaly_detector.monitor.plant import read_plant

    return read_plant(file)
