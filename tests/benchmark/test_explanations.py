"""The benchmark of explanations: places, words, altered recordings, what is kept, the pages."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from audio_anomaly_detector.benchmark.altered_recordings import (
    ALTERATIONS,
    UNTOUCHED,
    RecordedMachine,
    _splits,
    recorded_machines,
)
from audio_anomaly_detector.benchmark.explained_machines import NORMAL, FaultyMachine, Measured
from audio_anomaly_detector.benchmark.explained_maps import (
    RESOLUTIONS,
    Resolution,
    further_out,
    levels,
    loudest_cell,
    made_usual,
    overlap,
    peak_cell,
    true_region,
    with_tolerance,
)
from audio_anomaly_detector.benchmark.explanation_cells import (
    cost,
    measure_missing,
    read_measured,
)
from audio_anomaly_detector.benchmark.explanation_pages import ALL, summed_up, write_pages
from audio_anomaly_detector.benchmark.fault_words import (
    RIGHT,
    has_right_figure,
    is_right,
    is_right_by_other_rules,
    words_against,
)
from audio_anomaly_detector.benchmark.machine_cells import CELLS
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.explaining.explanation import (
    Explanation,
    Finding,
    FindingKind,
    Map,
    Neighbourhood,
)
from audio_anomaly_detector.progress import SILENT
from audio_anomaly_detector.scoring.clip_features import feature_grid
from audio_anomaly_detector.scoring.usual_sound import UsualLevels, levels_at_ranks
from audio_anomaly_detector.synthesis.fault_figures import FaultFigures
from audio_anomaly_detector.synthesis.faults import FAULTS
from synthetic_data import write_machine

RATE = 16_000
GRID = feature_grid(RATE)
TIME = np.arange(4 * RATE) / RATE
RNG = np.random.default_rng(0)
NOISE = (0.01 * RNG.standard_normal((1, len(TIME)))).astype(np.float32)
OTHER = (0.01 * RNG.standard_normal((1, len(TIME)))).astype(np.float32)
# From 2 s on, without a click.
TONE = 0.05 * np.sin(2 * np.pi * 1000 * TIME) * np.clip(5 * (TIME - 2), 0, 1)
TONE = TONE[None].astype(np.float32)


# ---------------------------------------------------------------- words


def test_every_fault_has_its_words() -> None:
    kinds = {
        (machine, kind) for machine, sets in FAULTS.items() for kind in sets.tuning + sets.held_out
    }
    assert set(RIGHT) == kinds
    # The last two are named by later versions of the findings.
    known = {*get_args(FindingKind), "weaker strokes", "changed cycle"} - {"recording"}
    assert all((right.kinds | right.with_rate) <= known for right in RIGHT.values())
    assert all(not right.kinds & right.with_rate for right in RIGHT.values())


def test_a_rate_is_right_within_three_per_cent() -> None:
    figures = FaultFigures((100.0, 25.0), (50.0,))
    assert has_right_figure(Finding("repeated impacts", "", rate=103.0), figures)
    assert not has_right_figure(Finding("repeated impacts", "", rate=103.1), figures)
    assert not has_right_figure(Finding("modulation", "", rate=50.0), figures)
    assert has_right_figure(Finding("new tone", "", hz=50.0), figures)
    assert not has_right_figure(Finding("impacts", "", rate=100.0), figures)
    side_bands = FaultFigures((20.0,), (960.0, 980.0, 1000.0))
    assert has_right_figure(Finding("new tone", "", hz=1004.0), side_bands)
    assert not has_right_figure(Finding("new tone", "", hz=1006.0), side_bands)


def test_modulation_is_right_of_a_bearing_at_its_rates_only() -> None:
    right, figures = RIGHT["fan", "bearing"], FaultFigures((100.0, 25.0))
    assert is_right(Finding("impacts", ""), right, figures)
    assert is_right(Finding("modulation", "", rate=25.1), right, figures)
    assert not is_right(Finding("modulation", "", rate=60.0), right, figures)
    assert not is_right(Finding("broadband rise", ""), right, figures)


def test_words_are_compared_with_the_fault() -> None:
    findings = [Finding("broadband rise", ""), Finding("repeated impacts", "", rate=60.0)]
    found = dict(words_against(findings, RIGHT["fan", "bearing"], FaultFigures((100.0, 25.0))))
    assert found == {
        "right kind": True,
        "right kind first": False,
        "nothing said": False,
        "right figure": False,
        "right of stated figures": False,
    }
    found = dict(words_against([], RIGHT["pump", "leak"], FaultFigures(steady=False)))
    assert found == {"right kind": False, "right kind first": False, "nothing said": True}


def test_kinds_of_the_other_rules_stand_for_ours() -> None:
    assert is_right_by_other_rules("burst", RIGHT["fan", "bearing"])
    assert is_right_by_other_rules("level_rise", RIGHT["pump", "leak"])
    assert not is_right_by_other_rules("tonal", RIGHT["pump", "leak"])
    assert not is_right_by_other_rules("clipping", RIGHT["fan", "bearing"])


# ---------------------------------------------------------------- maps


def test_the_true_region_of_a_tone_is_where_and_when_it_sounds() -> None:
    region = true_region(GRID, NOISE + TONE, TONE, "narrow")
    bands, frames = np.nonzero(region)
    hz = GRID.narrow_hz
    assert (hz[bands] < 1012).all() and (hz[bands + 1] > 988).all()
    middles = (frames * GRID.narrow_hop + GRID.narrow_length / 2) / RATE
    assert middles.min() > 1.7 and len(set(frames.tolist())) >= 14


def test_what_is_taken_away_is_a_true_region_too() -> None:
    gone = true_region(GRID, NOISE, -TONE, "narrow")
    there = true_region(GRID, NOISE + TONE, TONE, "narrow")
    assert np.array_equal(gone, there) and gone.any()


def test_the_tolerance_is_one_band_and_one_frame() -> None:
    region = np.zeros((7, 9), bool)
    region[3, 4] = True
    expected = np.zeros((7, 9), bool)
    expected[2:5, 3:6] = True
    assert np.array_equal(with_tolerance(region), expected)


def made_map(cells: dict[tuple[int, int], float], narrow: bool = True) -> Map:
    """A map of the 4-s clip that deviates in some cells."""
    hz = GRID.narrow_hz if narrow else GRID.fast_hz
    frames = levels(GRID, NOISE, "narrow" if narrow else "fast").shape[1]
    together = np.zeros((len(hz) - 1, frames), np.float32)
    for cell, deviation in cells.items():
        together[cell] = deviation
    around = (Neighbourhood(1, 1, 5.0), Neighbourhood(3, 9, 2.0))
    return Map(together, together[None], hz, np.linspace(0, 4, frames + 1), around)


def test_the_peak_is_found_again() -> None:
    assert peak_cell(made_map({(17, 3): 5.0, (40, 8): -9.0})) == (40, 8)
    assert loudest_cell(made_map({(17, 3): 5.0, (40, 8): -9.0}).together) == (17, 3)


def test_a_neighbourhood_that_deviates_as_a_whole_outweighs_a_cell() -> None:
    block = {(band, frame): 5.0 for band in range(20, 23) for frame in range(4, 13)}
    of = made_map({(40, 8): 12.0} | block | {(21, 9): 5.5})
    assert peak_cell(of) == (21, 9) and of.times_usual == pytest.approx((26 * 5 + 5.5) / 27 / 2)
    of = made_map({(40, 8): -14.0} | block)
    assert peak_cell(of) == (40, 8) and of.times_usual == pytest.approx(14 / 5)


def test_overlap_is_intersection_over_union() -> None:
    of = made_map({(1, 1): 5.0, (1, 2): -5.0, (1, 3): 3.0})
    region = np.zeros(of.together.shape, bool)
    region[1, 2:4] = True
    assert overlap(of, region, 4.0) == pytest.approx(1 / 3)
    assert overlap(of, region, 2.0) == pytest.approx(2 / 3)


def test_the_map_further_out_is_chosen_by_normal_peaks() -> None:
    usual = {"narrow": [4.0, 5.0, 6.0], "fast": [9.0, 10.0, 11.0]}
    assert further_out({"narrow": 10.0, "fast": 15.0}, usual) == "narrow"
    assert further_out({"narrow": 10.0, "fast": 25.0}, usual) == "fast"


def explained(narrow: Map) -> Explanation:
    """Of the clip with the tone; what the deletion does not look at is left out."""
    empty = made_map({}, narrow=False)
    clip = NOISE + TONE
    return Explanation(
        None,
        (0, 4),
        {},
        narrow,
        empty,
        None,
        [],
        [],
        None,
        [],
        clip,
        RATE,  # type: ignore[arg-type]
    )


def usual_levels() -> dict[Resolution, UsualLevels]:
    """Of two clips of noise."""
    return {
        name: UsualLevels.of(
            [levels_at_ranks(levels(GRID, one, name)[None]) for one in (NOISE, OTHER)]
        )
        for name in RESOLUTIONS
    }


def test_what_is_marked_is_made_as_loud_as_usual() -> None:
    region = with_tolerance(true_region(GRID, NOISE + TONE, TONE, "narrow"))
    of = explained(made_map({}))
    places = {"narrow": region, "fast": np.zeros(of.fast.together.shape, bool)}
    changed, area = made_usual(of, usual_levels(), places)
    assert 0 < area < 0.02
    band = np.searchsorted(GRID.narrow_hz, 1000) - 1
    before, after, normal = (
        levels(GRID, one, "narrow")[band, -12:].mean() for one in (of.waveform, changed, OTHER)
    )
    # It is 44 dB louder than usual, and changed by 40 at most.
    assert before > normal + 40 and abs(after - normal) < 6
    moved, same_area = made_usual(of, usual_levels(), places, np.random.default_rng(1))
    assert same_area == pytest.approx(area)
    assert levels(GRID, moved, "narrow")[band, -12:].mean() > normal + 15


def test_nothing_changes_where_nothing_is_marked() -> None:
    of = explained(made_map({}))
    places = {
        "narrow": np.zeros(of.narrow.together.shape, bool),
        "fast": np.zeros(of.fast.together.shape, bool),
    }
    changed, area = made_usual(of, usual_levels(), places)
    assert area == 0 and np.allclose(changed, of.waveform, atol=1e-6)


# ---------------------------------------------------------------- recordings


def altered(name: str) -> np.ndarray:
    sound = np.concatenate([NOISE + TONE, OTHER]).astype(np.float64)
    return ALTERATIONS[name].change(sound, np.random.default_rng(3), RATE)


def test_recordings_are_altered_as_they_are_said_to_be() -> None:
    sound = altered(UNTOUCHED)
    assert np.array_equal(sound, np.concatenate([NOISE + TONE, OTHER]).astype(np.float64))
    assert (np.abs(altered("overdriven")) == 1).mean() == pytest.approx(0.005, abs=1e-4)
    quiet = altered("clipped before the recorder")
    assert np.abs(quiet).max() < np.abs(sound).max()
    assert (np.abs(quiet) == np.abs(quiet).max()).mean() == pytest.approx(0.005, abs=1e-4)
    assert np.allclose(altered("6 dB louder"), 10 ** (6 / 20) * sound)
    assert np.array_equal(altered("exchanged microphones"), sound[::-1])
    assert not altered("silence").any()
    assert not altered("dead microphone")[1].any() and altered("dead microphone")[0].any()


@pytest.mark.parametrize(("name", "seconds"), [("drop-out of 1 s", 1), ("drop-out of 0.1 s", 0.1)])
def test_a_drop_out_is_as_long_as_it_says(name: str, seconds: float) -> None:
    still = (altered(name) == 0).all(0)
    assert still.sum() == seconds * RATE
    assert np.flatnonzero(still)[-1] - np.flatnonzero(still)[0] == seconds * RATE - 1


def test_a_telephone_leaves_nothing_above_its_band() -> None:
    sound = altered("by phone, 8 kHz")[1]
    power = np.abs(np.fft.rfft(sound)) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / RATE)
    assert power[hz > 4400].mean() < 1e-4 * power[hz < 3400].mean()
    assert np.corrcoef(sound, OTHER[0])[0, 1] > 0.6


@pytest.mark.parametrize(
    ("name", "below"), [("speech, as loud", 0), ("speech, 6 dB below", 6), ("music, as loud", 0)]
)
def test_what_is_added_is_as_loud_as_it_says(name: str, below: float) -> None:
    added = altered(name) - altered(UNTOUCHED)
    ratio = np.sqrt(np.mean(added[0] ** 2) / np.mean(altered(UNTOUCHED) ** 2))
    assert 20 * np.log10(ratio) == pytest.approx(-below, abs=0.1)


def numbered(count: int) -> list[Clip]:
    key = MachineKey("", "press", "")
    return [Clip(Path(f"{n}.wav"), f"{n}.wav", 0, key) for n in range(count)]


def test_few_clips_are_all_asked_in_turn_and_of_many_later_ones() -> None:
    asked = []
    for learned, of in _splits(numbered(10)):
        assert len(learned) == 8 and not {c.name for c in learned} & {c.name for c in of}
        asked += [clip.name for clip in of]
    assert sorted(asked) == sorted(clip.name for clip in numbered(10))
    [(learned, of)] = list(_splits(numbered(300)))
    assert len(learned) == 100 and len(of) == 10
    assert min(int(clip.path.stem) for clip in of) == 180


def test_altered_recordings_are_measured(tmp_path: Path) -> None:
    write_machine(tmp_path / "press", normal=7, abnormal=1)
    [machine] = recorded_machines(tmp_path, 0)
    assert len(machine.clips) == 7
    few = RecordedMachine(machine.machine, machine.clips, 0)
    rows = summed_up(few.measured())
    assert {of for of, _ in rows} == set(ALTERATIONS)
    assert rows["dead microphone", "named"].mean == 1 and rows["silence", "named"].mean == 1
    assert (UNTOUCHED, "named") not in rows
    assert rows["MP3", "said of the recording"].clips == 7


# ---------------------------------------------------------------- what is kept, and pages

TINY = FaultyMachine("fan", 0, 6, "tuning", 3, normals=14, faulty=2, unseen=2, seconds=3.0)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("explanations")
    assert measure_missing([TINY], out, 1, SILENT) == []
    return out


def test_a_machine_of_known_faults_is_measured(kept: Path) -> None:
    rows = summed_up(read_measured(TINY, kept))
    assert rows[NORMAL, "words of a fault"].clips == 2
    assert rows[ALL, "above threshold"].clips == 2
    assert {of for of, _ in rows} >= {"fan imbalance", "fan bearing", f"{ALL}, 6 dB"}
    above = round(2 * rows[ALL, "above threshold"].mean)
    assert above >= 1
    for quantity in ("right kind", "peak: map for the kind", "overlap", "deletion: elsewhere"):
        assert rows[ALL, quantity].clips == above
    assert 0 < rows[ALL, "peak: random place"].mean < 1
    assert cost(read_measured(TINY, kept)) is not None


def test_a_machine_that_is_measured_is_not_measured_again(kept: Path) -> None:
    [file] = (kept / CELLS).glob(f"*/{TINY.key}.csv")
    before = file.read_bytes()
    file.write_bytes(before.replace(b"right kind", b"kept kind"))
    assert measure_missing([TINY], kept, 1, SILENT) == []
    assert "kept kind" in {one.quantity for one in read_measured(TINY, kept)}
    file.write_bytes(b"machine,value\nfan,zero\n")
    with pytest.raises(UserError, match="delete the file"):
        read_measured(TINY, kept)
    file.write_bytes(before)


def test_the_pages_sum_up(tmp_path: Path) -> None:
    measured = [
        Measured("fan-00 at 0 dB", "fan bearing", "0", "right kind", 1.0, "impacts; impacts"),
        Measured("fan-01 at 6 dB", "fan bearing", "0", "right kind", 0.0, "modulation; impacts"),
        Measured("fan-00 at 0 dB", "fan bearing", "0", "overlap", 0.25),
        Measured("fan-01 at 6 dB", "fan bearing", "0", "overlap", 0.75),
        Measured("fan-00 at 0 dB", "fan bearing", "0", "nothing said", 0.0),
        Measured("fan-01 at 6 dB", "fan bearing", "0", "nothing said", 0.0),
        Measured("fan-00 at 0 dB", NORMAL, "0", "words of a fault", 0.0),
        Measured("press", "MP3", "0", "named", 1.0, "coded"),
        Measured("press", "MP3", "0", "words of a fault", 0.0, "coded"),
    ]
    rows = summed_up(measured)
    row = rows["fan bearing", "right kind"]
    assert (row.clips, row.mean) == (2, 0.5) and row.said == [("impacts", 2), ("modulation", 1)]
    assert row.interval.low == pytest.approx(0.0126, abs=1e-3)
    assert rows[f"{ALL}, 6 dB", "overlap"].mean == 0.75 and (ALL, "named") not in rows
    low, high = rows[ALL, "overlap"].interval
    assert 0.25 <= low < 0.5 < high <= 0.75
    write_pages(measured, tmp_path, "the command")
    page = (tmp_path / "explanations.md").read_text()
    assert "the command" in page and "Machines: fan-00, fan-01; each at 0 dB, 6 dB." in page
    assert "| fan bearing | 2 | 50% [1%, 99%] | – | – | – | – | 0% [0%, 84%] | impacts 2, " in page
    assert "| MP3 | 1 | 100% [3%, 100%] | – | 0% [0%, 98%] |" in page
    assert len((tmp_path / "explanations.csv").read_text().splitlines()) == 1 + len(rows)
    assert (tmp_path / "images" / "explanations.png").stat().st_size > 1000
