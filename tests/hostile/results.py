"""What lies in a folder of results: whether it is whole, what is left over, what it says."""

import csv
import json
import re
from pathlib import Path

from audio_anomaly_detector.model_file import read_model_file

# What two runs of the same command need not have in common: times and memory.
_TIMES = {"seconds", "fit_seconds", "score_milliseconds", "peak_megabytes"}
_RENDERED = ("results.md", "results.csv", "results.html")  # of the benchmark, with times
_WORK = re.compile(r"^(\.work|\.watch|\.lock|\.lock\.json|\.writing-.*|.*\.part|.*\.work)$")


def finished(folder: Path) -> list[Path]:
    """Files under their final names."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(map(_WORK.match, path.relative_to(folder).parts))
    ]


def left_over(folder: Path) -> list[str]:
    """What belongs to work in progress."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if _WORK.match(path.name)]
    return sorted(map(str, found))


def assert_whole(folder: Path) -> None:
    """Nothing half-written has its final name."""
    for path in finished(folder):
        content = path.read_bytes()
        if path.suffix == ".pth":
            read_model_file(path)  # compares the seal
        elif path.suffix == ".json":
            json.loads(content)
        elif path.suffix == ".csv":
            assert content.endswith(b"\n"), path
            rows = list(csv.reader(content.decode().splitlines()))
            assert len({len(row) for row in rows}) == 1, path
        elif path.suffix == ".html":
            assert content.rstrip().endswith(b"</html>"), path
        elif path.suffix == ".png":
            assert content.endswith(b"IEND\xaeB`\x82"), path


def said(folder: Path) -> dict[str, object]:
    """Content of the finished files, without times; done before is done."""
    found: dict[str, object] = {}
    for path in finished(folder):
        name = str(path.relative_to(folder))
        if name in _RENDERED or (path.suffix == ".png" and "results" in path.parts):
            found[name] = "is there"
        elif path.suffix == ".json":
            found[name] = _without_times(json.loads(path.read_bytes()))
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                found[name] = [_without_times(row) for row in csv.DictReader(file)]
        else:
            found[name] = path.read_bytes()
    return found


def _without_times(content: object) -> object:
    if not isinstance(content, dict):
        return "done" if content == "skipped" else content
    return {key: _without_times(value) for key, value in content.items() if key not in _TIMES}
