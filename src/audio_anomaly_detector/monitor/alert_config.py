"""When something becomes an event, and when an event is over."""

from typing import Self

from pydantic import BaseModel, Field, model_validator

from audio_anomaly_detector.monitor.settings_file import wrong_setting


class AlertConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Rules for the events of one machine."""

    needed: int = Field(
        5, ge=1, le=100, description="windows of the last `of` that make a warning or an alarm"
    )
    of: int = Field(
        6,
        ge=1,
        le=100,
        description="windows that are looked back upon; of overlapping ones the time that they "
        "cover counts",
    )
    calm: int = Field(
        1,
        ge=0,
        description="windows of the last `of` that may be above the threshold for a machine to "
        "count as calm",
    )
    keep_firing: float = Field(
        300.0, ge=0, description="s of calm sound after which an event ends; gaps do not count"
    )
    cooldown: float = Field(
        1800.0,
        ge=0,
        description="s after an event before the same machine has another; what is worse than "
        "that does not wait",
    )
    warning_after: float = Field(
        180.0, ge=0, description="s of sound after which a notice may become a warning"
    )
    # Long enough for most rain to be over, which alone sounds as a fault does.
    alarm_after: float = Field(
        14_400.0, ge=0, description="s of sound after which a warning may become an alarm"
    )
    surroundings: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="geometric mean over the last `of` windows of the share of normal windows that "
        "are recorded as differently, below which the surroundings may be what changed: an event "
        "is then a notice",
    )
    settling: float = Field(
        900.0, ge=0, description="s for which the surroundings are then doubted"
    )
    lasting: float = Field(
        7200.0,
        ge=0,
        description="s of sound after which a notice becomes what it would be if the surroundings "
        "had not changed",
    )
    unjudged: float = Field(
        1800.0,
        gt=0,
        description="s of sound of a running machine, none of which can be judged, after which "
        "that is told",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.needed > self.of:
            problem = f"needed {self.needed} of {self.of} windows cannot be; raise `of`"
            raise wrong_setting(("needed",), problem)
        if self.calm >= self.needed:
            problem = (
                f"calm {self.calm} is not below needed {self.needed}: an event would end as it "
                "begins; lower `calm`"
            )
            raise wrong_setting(("calm",), problem)
        return self


class SourceAlertConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Rules for the events of sources."""

    lasting: float = Field(30.0, ge=0, description="s that a fault lasts before it is told")
    recovered: float = Field(60.0, ge=0, description="s without a fault before its event ends")
    cooldown: float = Field(
        1800.0, ge=0, description="s after an event before the same source has another"
    )
    together: int = Field(
        3, ge=1, description="sources lost at once beyond which one event tells of all of them"
    )
