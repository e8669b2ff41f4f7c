"""The files for operating a watch name metrics and options that there are."""

import json
import re
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from audio_anomaly_detector.monitor.metrics import StatusCollector
from audio_anomaly_detector.monitor.status import MachineLine, SourceLine, Status

DEPLOY = Path(__file__).parents[2] / "deploy"
STATUS = Status(
    at=1.0,
    started=0.0,
    sources=(SourceLine("yard", "running", 1.0, 0.0, 0, 0.1),),
    machines=(MachineLine("pump", "yard", "full", "running", 1, 0.5),),
    events={"alarm": 1},
    waiting={"mail": 0},
    failures={"mail": 0},
)


def exported() -> set[str]:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(StatusCollector(lambda: STATUS, 50))
    return {sample.name for metric in registry.collect() for sample in metric.samples}


def named(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:aad|process)_\w+", expression))


def test_the_dashboard_draws_metrics_that_there_are() -> None:
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert all(named(expression) for expression in expressions)
    assert set.union(*map(named, expressions)) <= exported()


def test_the_rules_ask_for_metrics_that_there_are() -> None:
    (group,) = yaml.safe_load((DEPLOY / "prometheus-rules.yaml").read_text())["groups"]
    assert all(named(rule["expr"]) for rule in group["rules"])
    assert set.union(*(named(rule["expr"]) for rule in group["rules"])) <= exported()


def test_nothing_runs_with_all_privileges() -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["watch"]
    assert "privileged" not in service
    assert "USER aad" in (DEPLOY / "Containerfile").read_text()
    assert "DynamicUser=yes" in (DEPLOY / "aad-watch.service").read_text()
