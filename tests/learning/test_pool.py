"""The pool prior: networks and the clips they were trained without, deviations, their use."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.layouts import find_clips, machines
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.engines import ENGINES
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.fleet.jobs import Outcome, make_jobs
from audio_anomaly_detector.fleet.pools import Pool, make_pools
from audio_anomaly_detector.fleet.run import run_all
from audio_anomaly_detector.learning import pool
from audio_anomaly_detector.learning.pool import PoolPrior, fit_pool
from audio_anomaly_detector.progress import SILENT, Silent
from synthetic_data import TINY, hum, knock, write_machine

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("small", overrides=(*TINY, "pool=machine"))


@pytest.fixture
def pooled_without_networks(without_networks: Config) -> Config:
    return without_networks.model_copy(update={"pool": "machine"})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fans and a valve."""
    root = tmp_path_factory.mktemp("pool")
    for number, name in enumerate(("fan/id_00", "fan/id_02", "valve/id_00")):
        folder = root / f"0_dB_{name.split('/')[0]}" / name
        write_machine(folder, normal=8, abnormal=3, first_seed=50 * number)
    return root


@pytest.fixture(scope="module")
def fans(root: Path) -> list[Clip]:
    return [c for c in find_clips(root).clips if c.machine.machine_type == "fan" and c.label == 0]


@pytest.fixture(scope="module")
def pool_prior(fans: list[Clip], config: Config, tmp_path_factory: pytest.TempPathFactory):
    return fit_pool(fans, config, tmp_path_factory.mktemp("work"), CPU, SILENT)


def test_every_clip_is_left_out_of_one_fold_and_in_the_last(
    pool_prior: PoolPrior, fans: list[Clip], config: Config
) -> None:
    assert len(pool_prior.networks) == config.scoring.folds + 1
    names = [name for names in pool_prior.held_out for name in names]
    assert sorted(names) == sorted("/".join((*clip.machine, clip.name)) for clip in fans)
    for own in machines(fans).values():
        folds = pool_prior.for_machine(own, 1).folds
        assert sorted(i for fold in folds.cross for i in fold.held_out) == list(range(len(own)))
        assert folds.final.held_out == []
        for fold, left_out in zip(folds.cross, pool_prior.held_out, strict=True):
            for i in fold.held_out:
                assert "/".join((*own[i].machine, own[i].name)) in left_out


def test_networks_depend_on_their_clips(pool_prior: PoolPrior) -> None:
    states = [networks.state_dict() for networks in pool_prior.networks]
    name = "transformer.patch_embedding.weight"
    assert all(not torch.equal(states[0][name], state[name]) for state in states[1:])


def test_a_machine_uses_them_as_they_are(
    pool_prior: PoolPrior, fans: list[Clip], config: Config, tmp_path: Path
) -> None:
    own = next(iter(machines(fans).values()))
    result = Detector.fit(own, config, pool_prior=pool_prior)
    detector = result.detector
    assert detector.pipeline.networks is not None and result.history == []
    for name, value in detector.pipeline.networks.state_dict().items():
        assert torch.equal(value, pool_prior.networks[-1].state_dict()[name]), name
    assert detector.provenance.pool == ["0_dB_fan/fan/id_00", "0_dB_fan/fan/id_02"]
    detector.save(tmp_path / "model.pth")
    waveform = hum(900).T
    again = Detector.load(tmp_path / "model.pth")
    assert again.score(waveform).score == pytest.approx(detector.score(waveform).score)


def test_a_machine_that_came_later_uses_them_too(
    pool_prior: PoolPrior, root: Path, config: Config
) -> None:
    valve = [
        c for c in find_clips(root).clips if c.machine.machine_type == "valve" and c.label == 0
    ]
    detector = Detector.fit(valve, config, pool_prior=pool_prior).detector
    assert len(detector.normal_scores.of_usual.scores) == len(valve)


def test_saved_and_read_again(pool_prior: PoolPrior, tmp_path: Path) -> None:
    pool_prior.save(tmp_path / "pool.pth")
    again = PoolPrior.load(tmp_path / "pool.pth", CPU)
    assert again.config == pool_prior.config and again.held_out == pool_prior.held_out
    for first, second in zip(pool_prior.networks, again.networks, strict=True):
        for name, value in first.state_dict().items():
            assert torch.equal(value, second.state_dict()[name])
    assert again.sample == pool_prior.sample
    for one, other in zip(
        (pool_prior.fixed, *pool_prior.of_networks),
        (again.fixed, *again.of_networks),
        strict=True,
    ):
        assert one.keys() == other.keys() and one
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_pool_is_no_detector_and_a_detector_no_pool(
    pool_prior: PoolPrior, fans: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    pool_prior.save(tmp_path / "pool.pth")
    with pytest.raises(UserError, match="no detector"):
        Detector.load(tmp_path / "pool.pth")
    Detector.fit(fans[:8], without_networks).detector.save(tmp_path / "model.pth")
    with pytest.raises(UserError, match="run-all --pool"):
        PoolPrior.load(tmp_path / "model.pth", CPU)


def test_without_a_pool_the_error_says_where_pools_are_made(
    fans: list[Clip], config: Config, pool_prior: PoolPrior
) -> None:
    with pytest.raises(UserError, match="run-all --pool"):
        Detector.fit(fans[:8], config)
    other = config.model_copy(update={"seed": 1})
    with pytest.raises(UserError, match="same settings"):
        Detector.fit(fans[:8], other, pool_prior=pool_prior)
    alone = config.model_copy(update={"pool": "none"})
    with pytest.raises(UserError, match="pool=none, and a pool was given"):
        Detector.fit(fans[:8], alone, pool_prior=pool_prior)


class PoolSteps(Silent):
    """Keeps how many pools are trained."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def advance(self, what: str, done: int, total: int) -> None:
        if what == "pools":
            self.steps.append((done, total))


def run(root: Path, config: Config, save: Path) -> tuple[list[Pool], list[Outcome]]:
    clips = find_clips(root).clips
    pools = make_pools(clips, config, save)
    jobs = make_jobs(clips, config, save, pools=pools)
    progress = PoolSteps()
    outcomes = run_all(jobs, ENGINES["serial"](), save / "summary.csv", progress, pools)
    assert progress.steps in ([], [(done, len(pools)) for done in range(len(pools) + 1)])
    return pools, outcomes


def test_a_fleet_trains_each_pool_once_and_never_on_test_clips(
    root: Path, config: Config, tmp_path: Path
) -> None:
    pools, outcomes = run(root, config, tmp_path)
    assert [outcome.status for outcome in outcomes] == ["done"] * 3
    assert sorted(path.name for path in tmp_path.glob("pool_*")) == [
        "pool_0_dB_fan_fan.pth",
        "pool_0_dB_valve_valve.pth",
    ]
    fan_pool = next(pool for pool in pools if len(pool.machines) == 2)
    assert all(clip.label == 0 for clip in fan_pool.clips)
    for outcome in outcomes:
        assert outcome.model is not None
        detector = Detector.load(tmp_path / outcome.model)
        tested = (
            tmp_path / outcome.model.removeprefix("best_").removesuffix(".pth")
        ) / "scores.csv"
        assert not {clip.name for clip in fan_pool.clips} & set(tested.read_text().split(","))
        assert len(detector.provenance.pool) == (2 if outcome.machine_type == "fan" else 1)
    before = fan_pool.path.stat().st_mtime_ns
    assert [outcome.status for outcome in run(root, config, tmp_path)[1]] == ["skipped"] * 3
    assert fan_pool.path.stat().st_mtime_ns == before


def test_a_pool_that_fails_fails_its_machines_only(
    root: Path, config: Config, tmp_path: Path
) -> None:
    clips = [
        replace(clip, path=tmp_path / "missing.wav")
        if clip.machine.machine_type == "valve"
        else clip
        for clip in find_clips(root).clips
    ]
    pools = make_pools(clips, config, tmp_path)
    jobs = make_jobs(clips, config, tmp_path, pools=pools)
    outcomes = run_all(jobs, ENGINES["serial"](), tmp_path / "summary.csv", pools=pools)
    assert [outcome.status for outcome in outcomes] == ["done", "done", "failed"]
    assert outcomes[2].error.startswith("its pool could not be trained: ")


def test_deviations_are_those_of_other_machines(
    pool_prior: PoolPrior, fans: list[Clip], root: Path
) -> None:
    first, second = (("0_dB_fan", "fan", name) for name in ("id_00", "id_02"))
    assert sorted(pool_prior.sample) == 8 * [first] + 8 * [second]
    for values in pool_prior.fixed.values():  # each less the mean of its own machine
        for name in set(pool_prior.sample):
            own = values[[row for row, whose in enumerate(pool_prior.sample) if whose == name]]
            assert torch.allclose(own.mean(0), torch.zeros(()), atol=1e-3)
    own = next(iter(machines(fans).values()))
    prior = pool_prior.for_machine(own, 2)
    of_others = [row for row, name in enumerate(pool_prior.sample) if name == second]
    for name, deviations in prior.fixed.items():
        assert torch.equal(deviations.values, pool_prior.fixed[name][of_others])
        assert deviations.clips == 8
    assert prior.final is not None
    networks = [*prior.cross, prior.final]
    for pooled, statistics in zip(networks, pool_prior.of_networks, strict=True):
        for name, deviations in pooled.deviations.items():
            assert torch.equal(deviations.values, statistics[name][of_others])
    # A machine under another condition is the same machine.
    quiet = [replace(clip, machine=clip.machine._replace(condition="6_dB_fan")) for clip in own]
    for name, deviations in pool_prior.for_machine(quiet, 2).fixed.items():
        assert torch.equal(deviations.values, prior.fixed[name].values)
    # A machine that came later has those of all, one with other microphones has none.
    valve = [c for c in find_clips(root).clips if c.machine.machine_type == "valve"]
    assert {d.clips for d in pool_prior.for_machine(valve, 2).fixed.values()} == {16}
    assert pool_prior.for_machine(valve, 1).fixed == {}


def test_a_pool_without_networks_needs_some_clips_of_many_machines(
    fans: list[Clip], without_networks: Config, pooled_without_networks: Config, tmp_path: Path
) -> None:
    config = pooled_without_networks
    own = next(iter(machines(fans).values()))
    pool_prior = fit_pool(fans, config, tmp_path / "work", CPU, SILENT)
    assert pool_prior.networks == [] and len(pool_prior.sample) == 16
    pool_prior.save(tmp_path / "pool.pth")
    again = PoolPrior.load(tmp_path / "pool.pth", CPU)
    detector = Detector.fit(own, config, pool_prior=again).detector
    alone = Detector.fit(own, without_networks).detector
    assert detector.pipeline.networks is None and len(detector.provenance.pool) == 2
    assert not torch.equal(
        detector.pipeline.banks["logmel_log"].gain, alone.pipeline.banks["logmel_log"].gain
    )
    assert detector.score(hum(900).T).score < detector.score(knock(901).T).score


def test_the_sample_holds_as_many_machines_as_it_can(
    fans: list[Clip],
    pooled_without_networks: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "_SAMPLE", 6)
    monkeypatch.setattr(pool, "_SAMPLE_OF_ONE", 4)
    pool_prior = fit_pool(fans, pooled_without_networks, tmp_path, CPU, SILENT)
    assert sorted(map(pool_prior.sample.count, set(pool_prior.sample))) == [3, 3]


def test_a_pool_of_one_machine_has_no_deviations(
    fans: list[Clip], without_networks: Config, pooled_without_networks: Config, tmp_path: Path
) -> None:
    own = next(iter(machines(fans).values()))
    pool_prior = fit_pool(own, pooled_without_networks, tmp_path, CPU, SILENT)
    assert pool_prior.for_machine(own, 2).fixed == {}
    first = Detector.fit(own, pooled_without_networks, pool_prior=pool_prior).detector
    alone = Detector.fit(own, without_networks).detector
    assert (first.normal_scores.of_usual.scores == alone.normal_scores.of_usual.scores).all()
