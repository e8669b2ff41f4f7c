from pathlib import Path

import pytest

from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.errors import UserError


def manifest(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_csv_manifest(tmp_path):
    path = manifest(
        tmp_path,
        "path,label,machine_type,machine_id,condition,split,domain,attributes,start,duration\n"
        "a.wav,0,fan,id_00,6_dB,train,source,fast,,\n"
        "sub/b.wav,Abnormal,fan,id_00,6_dB,test,target,,,\n"
        "\n"
        "long.wav,,,,,train,,,0,10\n"
        "long.wav,normal,,,,test,,,10,10.5\n"
        "long.wav,,,,,test,,,30,\n",
    )
    found = find_clips(path)
    assert found.layout == "csv"
    assert found.root == tmp_path
    by_name = {clip.name: clip for clip in found.clips}
    assert set(by_name) == {
        *("a.wav", "sub/b.wav", "long.wav#t=0,10", "long.wav#t=10,20.5", "long.wav#t=30,"),
    }
    a, b = by_name["a.wav"], by_name["sub/b.wav"]
    assert (a.label, a.machine, a.split) == (0, ("6_dB", "fan", "id_00"), "train")
    assert (a.domain, a.attributes, a.path) == ("source", "fast", tmp_path / "a.wav")
    assert (b.label, b.split, b.domain) == (1, "test", "target")
    cut = by_name["long.wav#t=10,20.5"]
    assert (cut.start, cut.duration, cut.machine) == (10.0, 10.5, ("list", "list", "list"))
    assert by_name["long.wav#t=0,10"].label == 0  # training is on normals by definition
    assert by_name["long.wav#t=30,"].label is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\na.wav,0\n", "line 1: has no column named path; known columns are path"),
        ("path,lable\na.wav,0\n", "line 1: has an unknown column 'lable'"),
        ("path,label\na.wav,0\nb.wav,2\n", "line 3: label '2' is none of 0, 1, normal"),
        ("path,split\na.wav,val\n", "line 2: split 'val' is none of train, test"),
        ("path,domain\na.wav,x\n", "line 2: domain 'x' is none of source, target"),
        ("path,start\na.wav,soon\n", "line 2: start 'soon' is not a number of seconds"),
        ("path,start\na.wav,nan\n", "line 2: start 'nan' is not"),
        ("path,duration\na.wav,0\n", "line 2: duration '0' is not .* at least 0.001"),
        ("path,start\na.wav,-1\n", "line 2: start '-1' is not"),
        ("path\na.wav,0\n", "line 2: has more fields than the header"),
        ("path,label\na.wav,0\n./a.wav,0\n", "line 3: a.wav is in an earlier line too"),
        ("path,label\n,0\n", "line 2: the path is empty"),
        ("path,machine_id\na.wav,../x\n", "line 2: machine_id '../x' has a slash"),
        ("path,label,split\na.wav,1,train\n", "line 2: an anomalous clip cannot be in the split"),
        ('path\n"a"b.wav\n', "cannot be read as CSV beyond line 1"),
        ("path\n", "lists no clips"),
        ("", "line 1: has no column named path"),
    ],
)
def test_csv_errors_name_the_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as error:
        find_clips(manifest(tmp_path, text))
    assert str(tmp_path / "list.csv") in str(error.value)
    assert "\n" not in str(error.value)


def test_csv_that_is_not_text(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"path\n\xff\xfe.wav\n")
    with pytest.raises(UserError, match="cannot be read as CSV"):
        find_clips(tmp_path / "x.csv")
