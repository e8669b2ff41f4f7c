"""What is found on disk."""

import json
from pathlib import Path

from command_line import Aad
from synthetic_data import SAMPLE_RATE


def test_inspect(aad: Aad, data_root: Path) -> None:
    result = aad("inspect", data_root, "-q")
    assert result.code == 0
    header, row = result.out.splitlines()
    assert header.split("\t")[:3] == ["machine", "normal", "anomalous"]
    assert row.split("\t")[:3] == ["0_dB_fan/fan/id_00", "8", "3"]
    assert "no problems found" in result.err  # a pipe holds the table alone
    [machine] = json.loads(aad("inspect", data_root, "--json", "-q").out)["machines"]
    assert (machine["normal"], machine["anomalous"]) == (8, 3)
    assert machine["sample_rates"] == {str(SAMPLE_RATE): 11}
