from pathlib import Path

import pytest

from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.data.manifest import write_manifest
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


# ---------------------------------------------------------------- tables of other programs

ROWS = [("ok/1.wav", "OK"), ("ng/2.wav", "NG"), ("ng/3.wav", "")]


def table(separator: str, header: str = "path label") -> str:
    lines = [separator.join(header.split()), *(separator.join(row) for row in ROWS)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "content",
    [
        table(",").encode(),
        table(";").encode("utf-8-sig"),
        table("\t").encode(),
        table("|").encode(),
        ("sep=;\r\n" + table(";").replace("\n", "\r\n")).encode("utf-8-sig"),
        table("\t").encode("utf-16"),
        table(",", "Path Label").encode(),
        table(",", "file_name label").encode(),
        table(";", "Filename LABEL").encode(),
        table(",").replace("/", "\\").encode(),
        table(",", "audio is_anomaly").replace("OK", "False").replace("NG", "True").encode(),
        table(",").replace("OK", "0.0").replace("NG", "1.0").encode(),
        table(",").replace("OK", "정상").replace("NG", "불량").encode(),
    ],
)
def test_foreign_tables(tmp_path, content):
    (tmp_path / "list.csv").write_bytes(content)
    clips = find_clips(tmp_path / "list.csv").clips
    assert {clip.name: clip.label for clip in clips} == {
        "ok/1.wav": 0,
        "ng/2.wav": 1,
        "ng/3.wav": None,
    }


def test_a_table_of_dcase_attributes(tmp_path):
    found = find_clips(
        manifest(
            tmp_path,
            "file_name,d1p,d1v,domain_label,part\nfan/train/a.wav,speed,3,source,train\n",
        )
    )
    (clip,) = found.clips
    assert (clip.label, clip.split, clip.domain) == (0, "train", "source")
    assert found.reading == (
        "labels of the table: 1 normal",
        "columns read: file_name as path, domain_label as domain, part as split",
        "columns not used: d1p, d1v",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,lables\na.wav,0\n", "unknown column 'lables'; if it is label, write that, else"),
        ("path,machin_id\na.wav,0\n", "unknown column 'machin_id'; if it is machine_id, write"),
        ("time,acc\n0.0,0.1\n0.1,0.2\n", "a table of samples, not a list of clips; save the sig"),
        ("0.0,0.1\n0.1,0.2\n", "a table of samples"),
        ("file,audio\na.wav,b.wav\n", r"several columns for path \(file, audio\); keep one"),
        ("path,verdict\na.wav,good\nb.wav,bad\n", "the column 'verdict' reads like labels"),
        ("a.wav,normal\nb.wav,normal\n", "no column named path; put a header such as path,label"),
        ("path,label\na.wav,crack\n", "label 'crack' is none of 0, 1, normal, anomalous, or an"),
    ],
)
def test_what_a_foreign_table_lacks(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        find_clips(manifest(tmp_path, text))


def test_path_wins_over_its_synonyms(tmp_path):
    (clip,) = find_clips(manifest(tmp_path, "file,path\n7,a.wav\n")).clips
    assert clip.name == "a.wav"


def test_a_manifest_is_written_as_read(tmp_path):
    names = ["=cmd()|x.wav", "sub/+1.wav", "-6_dB/정상 a,b.wav"]
    clips = [
        Clip(tmp_path / names[0], names[0], 0, MachineKey("c", "=t", "id"), "train", "source"),
        Clip(tmp_path / names[1], names[1], None, MachineKey("c", "-t", "id"), "test"),
        Clip(tmp_path / names[2], names[2], 1, MachineKey("-6_dB", "t", "x"), attributes="=1"),
    ]
    clips[0].path.touch()  # a bar in the name of a file that is there divides nothing
    clips.append(clips[2].cut(2.5, None))
    clips.append(clips[2].cut(0.0, 2.5))
    write_manifest(tmp_path / "list.csv", clips)
    found = find_clips(tmp_path / "list.csv").clips
    assert found == sorted(clips, key=lambda clip: clip.name)
    write_manifest(tmp_path / "elsewhere" / "list.csv", clips[:1])
    (clip,) = find_clips(tmp_path / "elsewhere" / "list.csv").clips
    assert clip.path.resolve() == clips[0].path.resolve()


def test_what_is_unclear_stays_so_in_a_manifest(tmp_path):
    for name in ("train/normal/1.wav", "train/leak/1.wav", "test/normal/1.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_clips(tmp_path)
    write_manifest(tmp_path / "list.csv", found.clips, found.questions)
    again = {clip.name: clip.label for clip in find_clips(tmp_path / "list.csv").clips}
    assert again == {clip.name: clip.label for clip in found.clips}
    assert again["train/leak/1.wav"] is None


def test_decimal_commas_of_excel(tmp_path):
    (clip,) = find_clips(manifest(tmp_path, "Datei;start;duration\na.wav;2,5;10\n")).clips
    assert (clip.start, clip.duration) == (2.5, 10.0)
