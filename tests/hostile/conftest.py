"""What the tests of whole commands share; they run in one process, which imports once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile.commands import Commands
from synthetic_data import TINY, write_machine


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Starts `aad`, with a folder for temporary files of its own."""
    with Commands(tmp_path_factory.mktemp("commands")) as commands:
        yield commands


@pytest.fixture(scope="session")
def two_machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with two machine ids; read only."""
    root = tmp_path_factory.mktemp("two") / "0_dB_fan"
    for number in (0, 2):
        write_machine(root / "fan" / f"id_0{number}", first_seed=100 * number)
    return root


@pytest.fixture(scope="session")
def fitted(
    commands: Commands, two_machines: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run folder of a model of one of them; read only."""
    folder = tmp_path_factory.mktemp("fitted")
    tiny = [f"--set={setting}" for setting in TINY]
    options = ["--id=id_00", "--out", folder, "--preset=instant", *tiny, "-q"]
    ended = commands.run("fit", two_machines, *options)
    assert ended.code == 0, ended.err
    return folder
