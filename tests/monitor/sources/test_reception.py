"""What was heard and what was lost: against simulated sources whose losses are known."""

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from audio_anomaly_detector.monitor.sound import Chunk
from audio_anomaly_detector.monitor.sources.reception import Reception
from audio_anomaly_detector.monitor.sources.source import Received
from audio_anomaly_detector.monitor.sources.timeline import Timeline

RATE = 100  # so that a day is quickly simulated
EPOCH = 1_700_000_000.0


@dataclass
class Card:
    """A simulated live source: its true course, and the reception that hears it.

    The value of each sample is its true number, lost ones counted, divided by 2^20: so what a chunk
    says of its time can be checked.
    """

    rate: float = RATE  # samples a second by the clock
    block: int = 10
    reception: Reception = field(default_factory=lambda: Reception(live=True, started=0.0))
    now: float = 0.0
    wall_offset: float = EPOCH
    count: int = 0
    chunks: list[Chunk] = field(default_factory=list)

    def connect(self) -> None:
        self.reception.connected(RATE, 1, self.now)

    def samples(self, frames: int) -> np.ndarray:
        numbers = np.arange(self.count, self.count + frames)
        self.count += frames
        return (numbers[None] / 2**20).astype(np.float32)

    def hear(self, frames: int, lost: int = 0) -> None:
        received = Received(self.samples(frames), lost)
        wall = self.now + self.wall_offset
        self.chunks += self.reception.receive(received, RATE, 1, wall, self.now)

    def run(self, seconds: float, delay: Callable[[], float] = lambda: 0.0) -> None:
        """Sound for so long; each block arrives late by what `delay` says."""
        due = self.now
        for _ in range(round(seconds * self.rate / self.block)):
            due += self.block / self.rate
            self.now = max(self.now, due + delay())
            self.hear(self.block)
        self.now = max(self.now, due)

    def lose(self, seconds: float) -> None:
        """A gap that nobody reports."""
        self.now += seconds
        self.count += round(seconds * self.rate)


def connected(**settings: object) -> Card:
    card = Card(**settings)  # type: ignore[arg-type]
    card.connect()
    return card


def stretches(chunks: list[Chunk]) -> Iterator[np.ndarray]:
    """The true numbers of the samples of each stretch."""
    for stretch in sorted({chunk.stretch for chunk in chunks}):
        parts = [c.samples[0] for c in chunks if c.stretch == stretch]
        yield np.round(np.concatenate(parts).astype(np.float64) * 2**20).astype(int)


def accounted(card: Card) -> float:
    return card.reception.heard_s + card.reception.lost_s(card.now)


@pytest.mark.parametrize("error", [-1e-3, -1e-4, 0, 1e-4, 1e-3])
def test_a_card_off_the_clock_loses_nothing_over_a_day(error: float) -> None:
    """Blocks of 0.5 s, some 0.02 s late."""
    line, block = Timeline(RATE, 0, before=0.0), np.zeros((1, RATE // 2), np.float32)
    jitter, day = np.random.default_rng(0), 86_400
    now, ends = 0.0, 0.0
    for count in range(1, round(2 * day * (1 + error)) + 1):
        now = max(now, 0.5 * count / (1 + error) + float(jitter.exponential(0.02)))
        for chunk in line.receive(block, 0, EPOCH + now, now):
            ends = chunk.end
    assert line.heard_s + line.lost_s == pytest.approx(now, rel=1e-4)
    assert line.lost_s < 1
    # The time of the sound stays that of the clock, for a stretch each 2 s that the card's clock
    # has gone astray.
    assert ends == pytest.approx(EPOCH + now, abs=2.5)
    assert line.stretch == pytest.approx(abs(error) * day / 2, abs=1.5)


@pytest.mark.parametrize("error", [-1e-3, 0, 1e-3])
def test_losses_nobody_reports_are_found_and_no_stretch_reaches_over_one(error: float) -> None:
    card = connected(rate=RATE * (1 + error))
    random = np.random.default_rng(1)
    lost = 0.0
    for _ in range(40):
        card.run(random.uniform(5, 60))
        gap = float(random.uniform(0.4, 5))
        card.lose(gap)
        lost += gap
    card.run(20)
    assert card.reception.lost_s(card.now) == pytest.approx(lost, rel=0.02)
    assert accounted(card) == pytest.approx(card.now, rel=1e-3)
    for numbers in stretches(card.chunks):
        assert (np.diff(numbers) == 1).all()
    assert card.chunks[-1].end == pytest.approx(card.now + EPOCH, abs=2.5)


def test_reported_losses_are_counted_and_begin_a_stretch() -> None:
    card = connected()
    card.run(10)
    card.lose(0.1)
    card.hear(10, lost=10)
    card.run(10)
    assert card.reception.overflows == 1
    assert card.reception.lost_s(card.now) == pytest.approx(0.1)
    assert [len(part) for part in stretches(card.chunks)] == [1000, 1010]


def test_late_sound_is_not_lost() -> None:
    card = connected()
    for _ in range(50):
        card.run(12)
        late = card.now  # a pause of 3 s, then all of it at once
        card.now += 3
        for _ in range(30):
            card.now += 0.001
            card.hear(10)
        card.now = late + 3
    assert card.reception.lost_s(card.now) == 0
    assert len(list(stretches(card.chunks))) == 1
    assert card.reception.heard_s == pytest.approx(card.now, abs=0.5)


def test_sound_behind_a_pause_waits_until_it_shows_whether_some_was_lost() -> None:
    card = connected()
    card.run(10)
    known = len(card.chunks)
    card.lose(2)
    card.run(0.9)
    assert len(card.chunks) == known
    card.run(0.3)
    assert len(card.chunks) > known
    first = card.chunks[known]
    assert first.at == pytest.approx(EPOCH + 12, abs=0.05)


def test_what_a_server_had_stored_is_older() -> None:
    card = connected()
    card.now = 20.0
    for _ in range(50):  # 5 s at once
        card.hear(10)
    card.run(10)
    assert card.chunks[0].at == pytest.approx(EPOCH + 15, abs=0.1)
    assert len(list(stretches(card.chunks))) == 1
    assert card.reception.lost_s(card.now) == pytest.approx(15, abs=0.1)


def test_small_losses_that_add_up_are_lost_and_not_the_clock() -> None:
    card = connected()
    for _ in range(600):  # 2 %
        card.run(1)
        card.lose(0.02)
    assert card.reception.lost_s(card.now) == pytest.approx(12, rel=0.2)
    assert accounted(card) == pytest.approx(card.now, abs=2)  # what has not added up yet


@pytest.mark.parametrize("factor", [2, 0.5, 44_100 / 48_000, 48_000 / 44_100])
def test_a_wrong_rate_is_named_and_nothing_of_it_passed_on(factor: float) -> None:
    card = connected(rate=RATE * factor)
    card.run(20)
    fault = card.reception.faults["rate"]
    assert f"brings {RATE * factor:.0f} samples a second instead of {RATE}" in fault
    passed = len(card.chunks)
    card.run(10)
    assert len(card.chunks) == passed
    card.rate = RATE
    card.run(20)
    assert "rate" not in card.reception.faults
    assert len(card.chunks) > passed


def test_losses_are_no_wrong_rate() -> None:
    card = connected()
    random = np.random.default_rng(2)
    for _ in range(60):
        card.run(random.uniform(0.5, 6))
        card.lose(float(random.uniform(0.3, 5)))
        assert "rate" not in card.reception.faults
    assert "loss" in card.reception.faults
    card.run(400)
    assert "loss" not in card.reception.faults


@pytest.mark.parametrize("step", [3600, -3600])
def test_setting_the_clock_begins_a_stretch_with_the_right_time(step: float) -> None:
    card = connected()
    card.run(10)
    card.wall_offset += step
    card.run(10)
    assert [len(part) for part in stretches(card.chunks)] == [1000, 1000]
    assert card.chunks[-1].end == pytest.approx(EPOCH + step + 20, abs=0.1)
    assert card.reception.lost_s(card.now) == 0


def test_time_without_a_connection_is_lost_and_begins_a_stretch() -> None:
    card = connected()
    card.run(10)
    assert card.reception.lost_s(card.now) == 0
    card.chunks += card.reception.disconnected()
    card.lose(30)
    assert card.reception.lost_s(card.now) == pytest.approx(30)
    card.connect()
    card.run(10)
    assert card.reception.lost_s(card.now) == pytest.approx(30, abs=0.1)
    assert accounted(card) == pytest.approx(card.now, rel=1e-3)
    assert [len(part) for part in stretches(card.chunks)] == [1000, 1000]


def test_what_was_held_back_is_not_forgotten_at_the_end() -> None:
    card = connected()
    card.run(0.2)
    assert not card.chunks
    card.chunks += card.reception.disconnected()
    assert sum(chunk.samples.size for chunk in card.chunks) == 20


def test_memory_held_back_is_bounded() -> None:
    card = connected(block=1000)
    card.connect()
    for _ in range(100):  # at once, for ever
        card.hear(1000)
    assert sum(chunk.samples.size for chunk in card.chunks) >= 95_000


def hear_noise(reception: Reception, samples: np.ndarray, seconds: float = 12) -> None:
    """Blocks of 0.1 s at 8 kHz as time passes; samples ``(C, 800)``."""
    for step in range(round(seconds * 10)):
        reception.receive(Received(samples), 8000, len(samples), EPOCH, 0.1 * step)


def noise(channels: int = 2) -> np.ndarray:
    return (np.random.default_rng(3).standard_normal((channels, 800)) * 0.1).astype(np.float32)


def test_silence_dead_channel_and_clipping_are_faults_until_they_are_over() -> None:
    reception = Reception(live=True, started=0.0)
    hear_noise(reception, np.zeros((2, 800), np.float32))
    assert list(reception.faults) == ["silence"]
    dead = noise()
    dead[1] = 0.25
    hear_noise(reception, dead, 20)
    assert list(reception.faults) == ["dead channel"]
    assert "channel 1" in reception.faults["dead channel"]
    hear_noise(reception, np.clip(noise() * 3, -0.3, 0.3), 20)
    assert list(reception.faults) == ["clipping"]
    hear_noise(reception, noise(), 20)
    assert not reception.faults


def test_samples_that_are_no_numbers_are_left_out_and_counted() -> None:
    card = connected()
    card.run(10)
    bad = np.full((1, 10), np.nan, np.float32)
    card.now += 0.1
    card.count += 10
    card.chunks += card.reception.receive(Received(bad), RATE, 1, EPOCH + card.now, card.now)
    assert "no numbers" in card.reception.faults["unreadable"]
    card.run(10)
    assert not card.reception.faults
    assert all(np.isfinite(chunk.samples).all() for chunk in card.chunks)
    assert [len(part) for part in stretches(card.chunks)] == [1000, 1000]
    assert card.reception.lost_s(card.now) == pytest.approx(0.1)


def test_files_have_their_own_time_and_each_begins_a_stretch() -> None:
    reception = Reception(live=False, started=0.0)
    reception.connected(RATE, 1, 0.0)
    sound = np.zeros((1, 100), np.float32)
    chunks = []
    for at in (1000.0, 2000.0):
        chunks += reception.receive(Received(sound, at=at, starts=True), RATE, 1, EPOCH, 0.0)
        chunks += reception.receive(Received(sound), RATE, 1, EPOCH, 0.0)
    assert [chunk.at for chunk in chunks] == [1000, 1001, 2000, 2001]
    assert [chunk.stretch for chunk in chunks] == [1, 1, 2, 2]
    assert reception.heard_s == 4
    assert reception.lost_s(500.0) == 0


def test_another_format_begins_a_stretch() -> None:
    reception = Reception(live=False, started=0.0)
    reception.connected(RATE, 1, 0.0)
    [one] = reception.receive(Received(np.zeros((1, 10), np.float32)), RATE, 1, EPOCH, 0.0)
    [two] = reception.receive(Received(np.zeros((2, 10), np.float32)), 200, 2, EPOCH, 0.0)
    assert one.stretch != two.stretch
    assert two.sample_rate == 200


def test_memory_does_not_grow() -> None:
    card = connected(block=100)

    def hours_with_losses_and_reconnections(count: int) -> int:
        for _ in range(count):
            card.run(50)
            card.lose(1)
            card.chunks += card.reception.disconnected()
            card.connect()
        card.run(15)
        card.chunks.clear()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = hours_with_losses_and_reconnections(5)
        assert hours_with_losses_and_reconnections(50) < before + 20_000
    finally:
        tracemalloc.stop()
