"""The order of dependence: a room uses only rooms below it."""

import ast
from pathlib import Path

import audio_anomaly_detector

PACKAGE = Path(audio_anomaly_detector.__file__).parent
# From the ground up; rooms of one line stand side by side and do not use each other.
FLOORS = [
    {"choices", "errors", "seeding", "threads"},
    {"devices", "engines", "files", "progress", "settings"},
    {"run_options", "tensor_files"},
    {"data", "models"},
    {"scoring", "synthesis"},
    {"config", "metrics", "provenance", "score"},
    {"model_file", "pipeline", "plotting", "training"},
    {"learning"},
    {"detector"},
    {"export", "runs"},
    {"loading"},
    {"fleet"},
    {"benchmark"},
    {"cli"},
    {"__init__", "__main__"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Maths apart from files.
PURE = ["models", "scoring", "metrics"]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def used_rooms(path: Path) -> set[str]:
    return rooms(imports(path))


def rooms(names: set[str]) -> set[str]:
    prefix = "audio_anomaly_detector."
    return {n.removeprefix(prefix).split(".")[0] for n in names if n.startswith(prefix)}


def test_every_room_has_its_floor() -> None:
    assert {room_of(path) for path in PACKAGE.rglob("*.py")} == set(FLOOR_OF)


def test_rooms_use_only_rooms_below() -> None:
    for path in PACKAGE.rglob("*.py"):
        room = room_of(path)
        for used in used_rooms(path) - {room}:
            assert FLOOR_OF[used] < FLOOR_OF[room], f"{path} uses {used}"


def test_maths_knows_no_files() -> None:
    for place in PURE:
        target = PACKAGE / place
        for path in target.rglob("*.py") if target.is_dir() else [target]:
            foreign = imports(path) & {"soundfile", "os", "shutil", "tempfile", "csv"}
            assert not foreign, f"{path} imports {foreign}"
            assert not used_rooms(path) & {"data", "files"}, path


def test_heavy_imports_wait_until_they_are_used() -> None:
    light = {"choices", "devices", "engines", "errors", "run_options"}
    for path in (PACKAGE / "cli").glob("*.py"):
        top_level = imports_at_top(path)
        assert not top_level & {"torch", "numpy", "matplotlib", "ray", "yaml", "pydantic"}, path
        assert rooms(top_level) <= {*light, "cli"}, path
    for path in (PACKAGE / f"{room}.py" for room in light):
        assert not imports_at_top(path) & {"torch", "numpy", "matplotlib", "ray", "yaml"}, path


def imports_at_top(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names
