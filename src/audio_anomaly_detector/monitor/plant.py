"""What the file of a plant says: sources of sound, machines, and where their events go."""

import re
import unicodedata
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import available_timezones

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.alert_config import AlertConfig, SourceAlertConfig
from audio_anomaly_detector.monitor.machine_config import MachineConfig
from audio_anomaly_detector.monitor.settings_file import read_settings, wrong_setting
from audio_anomaly_detector.monitor.sinks import SINKS
from audio_anomaly_detector.monitor.sinks.command import CommandConfig
from audio_anomaly_detector.monitor.sinks.delivery import DeliveryConfig
from audio_anomaly_detector.monitor.sinks.lines import LinesConfig
from audio_anomaly_detector.monitor.sinks.mqtt import MqttConfig
from audio_anomaly_detector.monitor.sinks.notify import NotifyConfig
from audio_anomaly_detector.monitor.sinks.webhook import WebhookConfig
from audio_anomaly_detector.monitor.sources import SOURCES
from audio_anomaly_detector.monitor.sources.back_off import SupervisorConfig
from audio_anomaly_detector.monitor.sources.ffmpeg import FfmpegConfig
from audio_anomaly_detector.monitor.sources.files import FolderConfig
from audio_anomaly_detector.monitor.sources.microphone import MicrophoneConfig
from audio_anomaly_detector.monitor.sources.mqtt import MqttAudioConfig
from audio_anomaly_detector.monitor.sources.raw_input import RawInputConfig
from audio_anomaly_detector.monitor.store.clips import ClipConfig
from audio_anomaly_detector.monitor.store.database import database_address

_NAMED = 5  # of a thousand sources
_LONGEST_NAME = 63  # characters, of up to 4 bytes each: names of folders have 255 bytes at most
# Of files on Windows, whatever follows after a dot.
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)


def _name(written: str, form: ValidatorFunctionWrapHandler) -> str:
    """A name of the right form that every file system takes."""
    try:
        form(written)
    except ValidationError as error:
        raise ValueError(
            "is no name: begin with a letter or digit, go on with letters, digits, spaces and "
            f"- + . _, {_LONGEST_NAME} characters at most"
        ) from error
    if written.endswith((" ", ".")) or _RESERVED.fullmatch(written):
        raise ValueError("Windows allows no folder of this name; choose another")
    return written


# Safe in names of files, in topics and labels, in every language.
Name = Annotated[
    str,
    Field(pattern=rf"^\w[\w .+-]{{0,{_LONGEST_NAME - 1}}}$"),
    WrapValidator(_name),
]


def _by_key(known: Mapping[str, type[BaseModel]]) -> Discriminator:
    """Tells alternatives apart by the one key that names their kind; see `settings_file`."""

    def kind(value: Any) -> str | None:
        found = [known[key] for key in known if isinstance(value, dict) and key in value]
        return found[0].__name__ if len(found) == 1 else None

    return Discriminator(
        kind,
        custom_error_type="kind",
        custom_error_message=f"must be a section with exactly one of: {', '.join(known)}",
    )


SourceConfig = Annotated[
    Annotated[MicrophoneConfig, Tag(MicrophoneConfig.__name__)]
    | Annotated[FolderConfig, Tag(FolderConfig.__name__)]
    | Annotated[RawInputConfig, Tag(RawInputConfig.__name__)]
    | Annotated[FfmpegConfig, Tag(FfmpegConfig.__name__)]
    | Annotated[MqttAudioConfig, Tag(MqttAudioConfig.__name__)],
    _by_key(SOURCES),
]
SinkSettings = Annotated[
    Annotated[MqttConfig, Tag(MqttConfig.__name__)]
    | Annotated[WebhookConfig, Tag(WebhookConfig.__name__)]
    | Annotated[NotifyConfig, Tag(NotifyConfig.__name__)]
    | Annotated[LinesConfig, Tag(LinesConfig.__name__)]
    | Annotated[CommandConfig, Tag(CommandConfig.__name__)],
    _by_key(SINKS),
]


class MachineSettings(MachineConfig, frozen=True, extra="forbid"):
    """A machine, and where it is heard."""

    source: str = Field(description="name of the source that hears it")


class MetricsConfig(BaseModel, frozen=True, extra="forbid"):
    """Figures for Prometheus."""

    port: int | None = Field(
        default=None, ge=1, le=65_535, description="where figures are served; none: nowhere"
    )
    address: str = Field(default="127.0.0.1", description="that is listened on")
    names_up_to: int = Field(
        default=50, ge=0, description="sources and machines that have figures of their own"
    )


class Plant(BaseModel, frozen=True, extra="forbid"):
    """Everything that one program watches."""

    site: str = Field(default="", description="its name, in notifications")
    time_zone: str = Field(default="UTC", description="of the site, such as Europe/Berlin")
    data: Path = Field(
        default=Path("aad-data"),
        description="folder for what is learned and found, beside this file if not absolute",
    )
    store: str | None = Field(
        default=None, description="URL of the database; by default events.db in `data`"
    )
    sources: dict[Name, SourceConfig] = Field(min_length=1)
    machines: dict[Name, MachineSettings] = Field(min_length=1)
    alerts: AlertConfig = AlertConfig()
    source_alerts: SourceAlertConfig = SourceAlertConfig()
    connections: SupervisorConfig = SupervisorConfig()
    clips: ClipConfig = ClipConfig()
    sinks: list[SinkSettings] = []
    delivery: DeliveryConfig = DeliveryConfig()
    metrics: MetricsConfig = MetricsConfig()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        known = {one.casefold(): one for one in available_timezones()}
        if zone.casefold() not in known:
            raise ValueError("is no time zone; write such as Europe/Berlin")
        return known[zone.casefold()]

    @field_validator("store")
    @classmethod
    def _known_store(cls, store: str | None) -> str | None:
        if store is not None:
            try:
                database_address(store)
            except UserError as error:
                raise ValueError(str(error)) from error
        return store

    @model_validator(mode="after")
    def _sources_are_there(self) -> Self:
        for name, machine in self.machines.items():
            if machine.source not in self.sources:
                nearest = get_close_matches(machine.source, self.sources, _NAMED, cutoff=0)
                problem = (
                    f"the source {machine.source!r} is not described; write one that is, such as "
                    f"{', '.join(nearest)}"
                )
                raise wrong_setting(("machines", name, "source"), problem)
        return self

    @model_validator(mode="after")
    def _folders_differ(self) -> Self:
        first: dict[str, str] = {}
        for name in self.machines:
            # As Windows and macOS compare names of folders.
            other = first.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            if other != name:
                problem = (
                    f"differs from {other!r} in the case of letters only, and folders of both "
                    "would be one on Windows and macOS; choose another name"
                )
                raise wrong_setting(("machines", name), problem)
        return self

    @model_validator(mode="after")
    def _pipes_differ(self) -> Self:
        first: dict[str, str] = {}
        for name, source in self.sources.items():
            if isinstance(source, RawInputConfig):
                other = first.setdefault(source.raw, name)
                if other != name:
                    problem = (
                        f"the source {other!r} reads {source.raw!r} already, and each would get a "
                        "part of the sound; let machines share one source"
                    )
                    raise wrong_setting(("sources", name, "raw"), problem)
        return self

    @model_validator(mode="after")
    def _sinks_differ(self) -> Self:
        names = self.sink_names
        for number, name in enumerate(names):
            if name in names[:number]:
                problem = (
                    f"the sink {names.index(name) + 1} is called {name!r}, too; give each a "
                    "`name` of its own"
                )
                raise wrong_setting(("sinks", number, "name"), problem)
        return self

    @property
    def sink_names(self) -> list[str]:
        """Of the sinks, in order."""
        pairs = zip(self.sinks, self.sink_kinds, strict=True)
        return [sink.name or kind for sink, kind in pairs]

    @property
    def sink_kinds(self) -> list[str]:
        """Of the sinks, in order."""
        kinds = {kind: key for key, kind in SINKS.items()}
        return [kinds[type(sink)] for sink in self.sinks]

    @property
    def events_folder(self) -> Path:
        """Of the sound and pictures of events."""
        return self.data / "events"

    @property
    def store_url(self) -> str | Path:
        """Of the database."""
        return self.store or self.data / "events.db"


def read_plant(file: Path) -> Plant:
    """The plant that a YAML file describes; paths in it are relative to it.

    Raises:
        UserError: anything in it is wrong, with its line.
    """
    plant, folder = read_settings(Plant, file), file.resolve().parent
    return plant.model_copy(
        update={
            "data": folder / plant.data,
            "store": _store_relative_to(folder, plant.store),
            "sources": {name: _relative_to(folder, one) for name, one in plant.sources.items()},
            "machines": {name: _relative_to(folder, one) for name, one in plant.machines.items()},
        }
    )


def _store_relative_to(folder: Path, store: str | None) -> str | None:
    """Where events are kept; the path of a database that is a file is relative to a folder."""
    address = None if store is None else database_address(store)
    if address is None or address.get_backend_name() != "sqlite":
        return store
    return str(folder / str(address.database))


def _relative_to(folder: Path, config: Any) -> Any:
    """The settings of a source or machine, whose paths are relative to a folder."""
    changed: dict[str, Any] = {
        key: folder / path
        for key in ("folder", "file", "model")
        if (path := getattr(config, key, None)) is not None
    }
    if isinstance(config, RawInputConfig) and config.raw != "-":
        changed["raw"] = str(folder / config.raw)
    return config.model_copy(update=changed)
