"""The order of dependence: a room uses only rooms below it."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import audio_anomaly_detector

PACKAGE = Path(audio_anomaly_detector.__file__).parent
TABLE = Path(__file__).parents[1] / "docs/architecture.md"
# From the ground up; rooms of one line stand side by side and do not use each other.
FLOORS = [
    {"choices", "errors", "integrity", "seeding", "threads"},
    {"devices", "engines", "files", "progress", "settings"},
    {"model_container", "run_options", "tensor_files"},
    {"data", "models"},
    {"scoring", "synthesis"},
    {"config", "metrics", "provenance", "score"},
    {"model_file", "pipeline", "plotting", "training"},
    {"explaining", "learning"},
    {"detector", "pretraining"},
    {"reporting"},
    {"export", "runs"},
    {"loading"},
    {"fleet", "monitor"},
    {"benchmark"},
    {"cli"},
    {"__init__", "__main__"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Maths apart from files and pictures.
PURE = ["models", "scoring", "metrics"]
HEAVY = {"torch", "numpy", "matplotlib", "ray", "yaml", "pydantic"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(nodes: Iterable[ast.AST]) -> set[str]:
    """Dotted names of what the import statements among the nodes name."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def all_imports(path: Path) -> set[str]:
    return imports(ast.walk(ast.parse(path.read_text())))


def imports_at_top(path: Path) -> set[str]:
    return imports(ast.parse(path.read_text()).body)


def libraries(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def rooms(names: set[str]) -> set[str]:
    """Of names of this package their rooms; what it exports itself is of ``__init__``."""
    parts = [name.split(".") for name in names]
    used = {(*part, "__init__")[1] for part in parts if part[0] == PACKAGE.name}
    return {room if room in FLOOR_OF else "__init__" for room in used}


def test_every_form_of_import_is_seen() -> None:
    source = "import torch.nn\nfrom audio_anomaly_detector import Detector, data\n"
    names = imports(ast.walk(ast.parse(source)))
    assert libraries(names) == {"torch", "audio_anomaly_detector"}
    assert rooms(names) == {"__init__", "data"}


def test_every_room_has_its_floor() -> None:
    assert {room_of(path) for path in PACKAGE.rglob("*.py")} == set(FLOOR_OF)


def test_the_documented_rooms_are_these() -> None:
    table = TABLE.read_text(encoding="utf-8").split("## The rooms")[1].split("\n## ")[0]
    first_column = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    documented = [set(re.findall(r"`(\w+)/?`", column)) for column in first_column]
    assert documented == FLOORS[:-1]


def test_rooms_use_only_rooms_below() -> None:
    for path in PACKAGE.rglob("*.py"):
        room = room_of(path)
        for used in rooms(all_imports(path)) - {room}:
            assert FLOOR_OF[used] < FLOOR_OF[room], f"{path} uses {used}"


def test_maths_knows_no_files() -> None:
    foreign = {"soundfile", "os", "shutil", "tempfile", "csv", "matplotlib"}
    for path in (path for room in PURE for path in (PACKAGE / room).rglob("*.py")):
        names = all_imports(path)
        assert not libraries(names) & foreign, path
        assert not rooms(names) & {"data", "files"}, path


def test_heavy_imports_wait_until_they_are_used() -> None:
    light = {"choices", "devices", "engines", "errors", "run_options"}
    for path in (PACKAGE / "cli").glob("*.py"):
        assert not libraries(imports_at_top(path)) & HEAVY, path
        assert rooms(imports_at_top(path)) <= {*light, "cli"}, path
    for path in (PACKAGE / f"{room}.py" for room in light):
        assert not libraries(imports_at_top(path)) & HEAVY, path
