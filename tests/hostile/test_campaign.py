"""The fast part of the campaign, and whether the campaign notices what it is there for."""

import math
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from hostile import verdicts, watch
from hostile.audio_inputs import KINDS as AUDIO
from hostile.campaign import chosen, run
from hostile.cases import Case, make_case
from hostile.model_alterations import kinds as model_kinds
from hostile.models_to_alter import Models, make_models
from hostile.verdicts import BREACHES, Verdict, judged
from hostile.watch import Task, answers

# All tests of this file in one process, which fits the models once.
pytestmark = [
    pytest.mark.xdist_group("hostile"),
    pytest.mark.skipif(sys.platform != "linux", reason="memory is watched by /proc"),
]
SHARE = 0.03


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return make_models(tmp_path_factory.mktemp("models"), small_graph=True)


def test_no_hostile_file_breaks_the_contract(models: Models, tmp_path: Path) -> None:
    kinds = {**AUDIO, **model_kinds(models.today, models.past, models.graphs)}
    names = chosen(kinds, [], share=SHARE)
    found = dict(run(names, kinds, models, tmp_path / "cases"))
    assert set(names) <= set(found) and len(names) > 120
    broken = [f"{name}: {': '.join(it)}" for name, it in found.items() if it.outcome in BREACHES]
    assert not broken, "\n".join(["make one again: python -m hostile.campaign NAME", *broken])


@pytest.mark.parametrize("kind", AUDIO)
def test_a_name_makes_the_same_bytes_again(kind: str, tmp_path: Path) -> None:
    def checksum(folder: Path) -> int:
        path = make_case(AUDIO, f"{kind}:7", folder).path
        whole = path.is_file() and not path.is_symlink() and path.stat().st_size < 2**24
        return zlib.crc32(path.read_bytes()) if whole else 0

    assert checksum(tmp_path / "one") == checksum(tmp_path / "two")


def _answer(**changes: Any) -> dict[str, Any]:
    scored = {"scores": [_score(1.0)], "remarks": [], "printed": "", "megabytes": 1, "seconds": 0}
    return {**scored, **changes}


def _score(value: float, threshold: float = 2.0) -> dict[str, Any]:
    return {"score": value, "threshold": threshold, "is_anomalous": value > threshold}


@pytest.mark.parametrize(
    ("right", "changes", "outcome"),
    [
        ("any", {}, verdicts.SCORED),
        ("any", {"error": "x.wav: is empty; delete it"}, verdicts.REFUSED),
        ("heard", {"error": "x.wav: is empty; delete it"}, verdicts.LOST),
        ("refused", {}, verdicts.WRONG),
        ("said", {}, verdicts.WRONG),
        ("said", {"remarks": ["is cut off"]}, verdicts.SCORED),
        ("whole", {"expected": {"scores": [_score(1.0)]}}, verdicts.SCORED),
        ("whole", {"expected": {"scores": [_score(1.1)]}}, verdicts.WRONG),
        ("whole", {"expected": {"error": "intact.w64: is not audio"}}, verdicts.LOST),
        ("whole", {"expected": {"scores": [_score(1.1)]}, "remarks": ["cut"]}, verdicts.SCORED),
        ("same", {"expected": {"scores": [_score(1.1)]}, "remarks": ["cut"]}, verdicts.WRONG),
        ("same", {"expected": {"scores": [_score(1.0, 0.5)]}}, verdicts.WRONG),
        ("any", {"scores": [_score(math.nan)]}, verdicts.NOT_FINITE),
        ("any", {"scores": [_score(1.0, math.inf)]}, verdicts.NOT_FINITE),
        ("any", {"fault": "KeyError: 'banks' (detector.py:1)"}, verdicts.FAULT),
        ("any", {"printed": "Note: Trying to resync...\n"}, verdicts.LINES),
        ("any", {"error": ""}, verdicts.LINES),
        ("any", {"megabytes": 4000}, verdicts.MEMORY),
        ("any", {"ended": "slow: more than 20 s"}, verdicts.SLOW),
        ("any", {"ended": "crash: exit code -11"}, verdicts.CRASH),
    ],
)
def test_every_breach_is_told_from_what_is_right(
    right: Any, changes: dict[str, Any], outcome: str, tmp_path: Path
) -> None:
    tolerance = 1e-9 if right == "same" else 1e-6
    case = Case(tmp_path / "x.wav", right, None, tolerance)
    assert judged(case, _answer(**changes), tmp_path / "marker").outcome == outcome
    (tmp_path / "marker").mkdir()
    assert judged(case, _answer(**changes), tmp_path / "marker") == Verdict(verdicts.EXECUTED)


def test_a_child_that_takes_too_much_is_ended_and_the_rest_goes_on(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SECONDS", 2.0)
    clips = models.clips[2]
    rows = [f"{clips / 'hum.wav'},{number / 10_000},1.2" for number in range(2000)]
    (tmp_path / "long.csv").write_text("\n".join(["path,start,duration", *rows]))
    tasks = [
        Task("a:0", models.today[0], clips / "hum.wav"),
        Task("b:0", models.today[0], tmp_path / "long.csv"),
        Task("c:0", models.today[0], clips / "knock.wav"),
    ]
    found = {task.name: answer for task, answer in answers(tasks)}
    assert found["a:0"]["scores"] and found["c:0"]["scores"]
    assert found["b:0"] == {"ended": "slow: more than 2 s of processor time"}
