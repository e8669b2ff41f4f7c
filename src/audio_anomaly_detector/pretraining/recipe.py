"""The recipe of a backbone: what it hears, what it is taught, for how long."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from audio_anomaly_detector.settings import merged, parse_override, read_yaml, validated

SHIPPED_RECIPE = Path(__file__).parents[1] / "weights/small.yaml"


class Sounds(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Clips of one kind of step; long ones are needed for what comes late in a clip."""

    seconds: float = Field(ge=1, le=60, description="length of a clip")
    machines: int = Field(ge=2, le=1_000, description="machines of a step")
    normal: int = Field(ge=2, le=100, description="normal clips of each")
    share: float = Field(gt=0, le=1, description="share of the steps")


class Lessons(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Weights of what is taught beside predicting hidden patches; 0: not at all."""

    hear_the_machine: float = Field(
        ge=0, description="transformer: the machine's own level in every visible bin"
    )
    same_machine: float = Field(
        ge=0, description="transformer: clips of one machine alike, a changed one not"
    )
    keep_the_machine: bool = Field(
        description="DeSpaWN: reconstruct the machine alone; false: the recording"
    )
    codes: bool = Field(description="train the VQ-VAE; false: as initialised")


class Recipe(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Everything that decides what a backbone is."""

    preset: Literal["small", "base", "paper"] = Field(description="whose networks are trained")
    seed: int = Field(ge=0, description="governs all randomness")
    steps: int = Field(ge=0, le=100_000_000, description="of DeSpaWN and transformer together")
    code_steps: int = Field(ge=0, le=100_000_000, description="of the VQ-VAE, after them")
    statistics_steps: int = Field(
        ge=1, le=10_000, description="whose clips set the units of inputs, and those of codes"
    )
    learning_rate: float = Field(gt=0, description="peak learning rate")
    warmup: float = Field(ge=0, lt=1, description="share of the steps with rising rate")
    weight_decay: float = Field(ge=0, description="decoupled weight decay")
    sounds: tuple[Sounds, ...] = Field(min_length=1, description="kinds of steps")
    lessons: Lessons


def read_recipe(file: Path, overrides: list[str] | None = None) -> Recipe:
    """A recipe from a YAML file and ``key=value`` overrides.

    Raises:
        UserError: it cannot be read, an unknown key, a bad value.
    """
    tree = read_yaml(file)
    for override in overrides or []:
        tree = merged(tree, parse_override(override))
    return validated(Recipe, tree)
