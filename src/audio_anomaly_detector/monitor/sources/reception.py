"""From what a source brings to chunks of sound, with account of what was heard and lost."""

from collections import deque
from dataclasses import dataclass, field

from audio_anomaly_detector.monitor.sound import Chunk, Samples
from audio_anomaly_detector.monitor.sources.faults import FaultKind
from audio_anomaly_detector.monitor.sources.signal_watch import SignalWatch, are_usable
from audio_anomaly_detector.monitor.sources.source import Received
from audio_anomaly_detector.monitor.sources.timeline import Timeline

# Much is lost when more than a tenth of the last five minutes is, which is also when BirdNET-Go
# tells its users so.
_LOSS_SHARE = 0.1
_LOSS_PERIODS = 5
_LOSS_PERIOD_S = 60.0


@dataclass
class Reception:
    """All that one source brings, over all its connections. It has no clock and no threads.

    Args:
        live: sound comes as time passes, so that seconds heard and lost add up to the time since
            the start; otherwise it comes from files.
        started: when its sound was first wanted, by the clock that only passes.

    Attributes:
        overflows: how often the source itself reported a loss.
        left_out: files, payloads and blocks that could not be used.
    """

    live: bool
    started: float
    overflows: int = 0
    left_out: int = 0
    _heard_s: float = 0.0  # of past connections, and of files
    _lost_s: float = 0.0
    _ends: float = field(init=False)  # when the sound of past connections ended
    _stretch: int = -1
    _format: tuple[int, int] = (0, 0)
    _timeline: Timeline | None = None
    _signal: SignalWatch | None = None
    _next_at: float | None = None  # of files: when the next sample was recorded
    _owed: int = 0  # samples lost before the next ones
    _problem: str = ""
    _losses: deque[tuple[float, float, float]] = field(
        default_factory=lambda: deque(maxlen=_LOSS_PERIODS + 1)
    )

    def __post_init__(self) -> None:
        self._ends = self.started

    @property
    def heard_s(self) -> float:
        """Seconds that were heard."""
        return self._heard_s + (self._timeline.heard_s if self._timeline else 0.0)

    def lost_s(self, monotonic: float) -> float:
        """Seconds that were lost until now, those without a connection among them."""
        lost = self._lost_s
        if self._timeline is not None:
            lost += self._timeline.absent_s + self._timeline.lost_s
        if self.live and (self._timeline is None or not self._timeline.has_begun):
            lost += monotonic - self._ends
        return lost

    @property
    def faults(self) -> dict[FaultKind, str]:
        """What is wrong at present, by what was received; nothing while there is no connection."""
        found: dict[FaultKind, str] = {}
        if self._problem:
            found["unreadable"] = self._problem
        if self._signal is not None:
            found |= self._signal.faults
        if self._timeline is not None and self._timeline.wrong_rate is not None:
            rate, factor = self._timeline.rate, self._timeline.wrong_rate
            found["rate"] = (
                f"brings {factor * rate:.0f} samples a second instead of {rate}; correct its rate "
                f"or its number of channels ({self._format[1]}); nothing is scored until then"
            )
        share = self._lost_share()
        if share > _LOSS_SHARE:
            found["loss"] = (
                f"lost {share:.0%} of its sound in the last minutes; check the network or the USB "
                "bus, and how busy the computer is"
            )
        return found

    def connected(self, sample_rate: int, channels: int, monotonic: float) -> None:
        """The source was opened: everything begins anew."""
        self._stretch += 1
        self._format = (sample_rate, channels)
        self._signal = SignalWatch(channels, sample_rate)
        self._owed, self._next_at, self._problem = 0, None, ""
        self._losses.clear()
        if self.live:
            self._timeline = Timeline(sample_rate, self._stretch, self._ends)
            self._losses.append((monotonic, 0.0, 0.0))

    def disconnected(self) -> list[Chunk]:
        """It ended or broke off.

        Returns:
            What had been held back.
        """
        timeline, self._timeline, self._signal = self._timeline, None, None
        self._problem = ""
        self._losses.clear()
        if timeline is None:
            return []
        chunks = timeline.end()
        self._heard_s += timeline.heard_s
        self._lost_s += timeline.absent_s + timeline.lost_s
        self._stretch, self._ends = timeline.stretch, timeline.ends
        return chunks if timeline.wrong_rate is None else []

    def receive(
        self, received: Received, sample_rate: int, channels: int, wall: float, monotonic: float
    ) -> list[Chunk]:
        """Take in what a read brought.

        Args:
            received: samples and what is known of them.
            sample_rate: Hz, of these samples.
            channels: of these samples.
            wall: time of day, s since 1970 UTC.
            monotonic: time that only passes, s.

        Returns:
            What can be passed on, in order; nothing while the rate is wrong.
        """
        ready: list[Chunk] = []
        if (sample_rate, channels) != self._format:
            ready = self.disconnected()
            self.connected(sample_rate, channels, monotonic)
        samples, problem = received.samples, received.problem
        self.overflows += received.lost > 0
        self._owed += received.lost
        if not are_usable(samples):
            problem = "brings samples that are no numbers, or beyond all measure; they are left out"
            self._owed += samples.shape[1]
            samples = samples[:, :0]
        self.left_out += bool(problem)
        if not samples.size:
            self._problem = problem or self._problem
            return ready
        self._problem = problem
        lost, self._owed = self._owed, 0
        if self._signal is not None:
            self._signal.hear(samples)
        if self._timeline is None:
            return [self._of_file(samples, lost, received, wall)]
        chunks = self._timeline.receive(samples, lost, wall, monotonic)
        self._note_losses(self._timeline, monotonic)
        return ready + (chunks if self._timeline.wrong_rate is None else [])

    def _of_file(self, samples: Samples, lost: int, received: Received, wall: float) -> Chunk:
        rate, total = self._format[0], samples.shape[1]
        at = received.at
        if at is None:
            at = wall if self._next_at is None or received.starts else self._next_at + lost / rate
        if received.starts or lost:
            self._stretch += 1
        self._heard_s += total / rate
        self._lost_s += lost / rate
        self._next_at = at + total / rate
        return Chunk(samples, rate, self._stretch, at)

    def _note_losses(self, timeline: Timeline, monotonic: float) -> None:
        if monotonic - self._losses[-1][0] >= _LOSS_PERIOD_S:
            self._losses.append((monotonic, timeline.heard_s, timeline.lost_s))

    def _lost_share(self) -> float:
        """Share of the sound of the last whole minutes of this connection that was lost."""
        if len(self._losses) < 2:
            return 0.0
        (_, heard, lost), (_, all_heard, all_lost) = self._losses[0], self._losses[-1]
        lost = all_lost - lost
        return lost / max(all_heard - heard + lost, 1e-9)
