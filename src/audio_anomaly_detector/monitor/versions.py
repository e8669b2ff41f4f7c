"""Versions of what was learned of a machine, on disk; one of them is used."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import write_json
from audio_anomaly_detector.monitor.running import States
from audio_anomaly_detector.monitor.verdict import MachineState
from audio_anomaly_detector.scoring.threshold import ThresholdConfig

Origin = Literal["learned", "feedback", "given"]

_NAME = re.compile(r"(\d{4})\.json")
_CURRENT = "current.json"
# Kept beside the one in use and the baseline, so that some steps can be undone.
_MOST_EARLIER = 10


@dataclass(frozen=True)
class Version:
    """What was learned of a machine at a time.

    Args:
        number: from 1.
        made: when, s since 1970 UTC.
        origin: ``learned``: fitted to the normals; ``feedback``: an earlier one and what somebody
            called normal; ``given``: fitted elsewhere.
        full: learned from a whole learning period, or given.
        words: what it was made of and how it was tested, a sentence each.
        states: of the machine, see `States.to_plain`.
        models: states that have a model.
        before: the version that was in use before; None: none was.
        events: that were called normal since the last fit.
        config: settings of the given model that it is, or was learned with; None: those of the
            plant file.
    """

    number: int
    made: float
    origin: Origin
    full: bool
    words: tuple[str, ...]
    states: dict[str, Any] = field(repr=False)
    models: tuple[MachineState, ...]
    before: int | None = None
    events: int = 0
    config: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Learned:
    """A version, loaded.

    Args:
        version: what it is.
        states: of the machine.
        detectors: by state.
    """

    version: Version
    states: States
    detectors: Mapping[MachineState, Detector]

    def takes_sound_of(self, other: "Learned") -> bool:
        """Whether sound is prepared alike for another version, of as many channels."""
        return self.version.config == other.version.config and {
            detector.microphones for detector in self.detectors.values()
        } == {detector.microphones for detector in other.detectors.values()}

    def with_threshold(self, config: ThresholdConfig) -> "Learned":
        """The same version with other thresholds."""
        detectors = {
            state: detector.with_threshold(config) for state, detector in self.detectors.items()
        }
        return replace(self, detectors=detectors)


class Versions:
    """The versions of one machine in a folder.

    A version is there once its JSON file is, which is written last; what a killed fit left of model
    files is written over.

    Args:
        folder: created with the first version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def numbers(self) -> list[int]:
        """Of all versions, ascending."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        matches = (_NAME.fullmatch(path.name) for path in found)
        return sorted(int(match[1]) for match in matches if match)

    def read(self, number: int) -> Version:
        """What a version is.

        Raises:
            UserError: there is none, or its file is damaged.
        """
        path = self.folder / f"{number:04d}.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content["words"], content["models"] = tuple(content["words"]), tuple(content["models"])
            return Version(**content)
        except FileNotFoundError as error:
            known = ", ".join(map(str, self.numbers())) or "none"
            raise UserError(
                f"there is no version {number} of the model; there are: {known}"
            ) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{path}: the version is damaged; choose another one with the command for it"
            ) from error

    @property
    def current(self) -> int | None:
        """Number of the version in use; None: nothing was learned yet."""
        return self._chosen("current")

    @property
    def baseline(self) -> int | None:
        """Number of the version that later ones are compared with."""
        return self._chosen("baseline")

    def add(self, version: Version, detectors: Mapping[MachineState, Detector]) -> Version:
        """Write a version, under the next number; it is not used yet.

        Args:
            version: its number and models are set here.
            detectors: by state.

        Raises:
            UserError: it cannot be written.
        """
        number = max(self.numbers(), default=0) + 1
        version = replace(version, number=number, models=tuple(detectors))
        for state, detector in detectors.items():
            detector.save(self._model(number, state))
        write_json(self.folder / f"{number:04d}.json", asdict(version))
        return version

    def use(self, number: int, *, as_baseline: bool = False) -> Learned:
        """Use a version from now on, and forget the oldest ones.

        Args:
            number: of the version.
            as_baseline: compare later ones with it.

        Raises:
            UserError: there is none, or it is damaged.
        """
        learned = self.load(number)
        baseline = number if as_baseline or self.baseline is None else self.baseline
        write_json(self.folder / _CURRENT, {"current": number, "baseline": baseline})
        self._forget({number, baseline})
        return learned

    def load(self, number: int) -> Learned:
        """Read a version.

        Raises:
            UserError: there is none, or it is damaged.
        """
        version = self.read(number)
        detectors = {
            state: Detector.load(self._model(number, state), "cpu") for state in version.models
        }
        return Learned(version, States.from_plain(version.states), detectors)

    def _model(self, number: int, state: MachineState) -> Path:
        return self.folder / f"{number:04d}-{state}.pth"

    def _chosen(self, name: str) -> int | None:
        path = self.folder / _CURRENT
        try:
            chosen = json.loads(path.read_text(encoding="utf-8"))[name]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}: is damaged; delete it to learn anew, or write "
                '{"current": N, "baseline": N} into it'
            ) from error
        if not isinstance(chosen, int):
            raise UserError(f"{path}: names no version; delete it to learn anew")
        return chosen

    def _forget(self, kept: set[int]) -> None:
        earlier = [number for number in self.numbers() if number not in kept]
        for number in earlier[:-_MOST_EARLIER]:
            # The JSON file first: half a version is none.
            (self.folder / f"{number:04d}.json").unlink(missing_ok=True)
            for path in self.folder.glob(f"{number:04d}-*.pth"):
                path.unlink(missing_ok=True)
