"""pytest test_convert.py: round trips of made-up files in the published format, and pickles that must be refused."""

import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from convert import SPLITS, Refused, convert, load, write
from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent
ROWS = {"audio": (9, 5), "vision": (7, 20)}


def split(count, name, seed):
    """The keys of an `unaligned` file: `text` and `text_bert` are there, and are not read."""
    random = np.random.default_rng(seed)
    lengths = {k: random.integers(1, rows + 1, count).tolist() for k, (rows, _) in ROWS.items()}
    made = {
        "raw_text": np.array([f"clip {i} said näh" for i in range(count)]),
        "id": [f"{name}$_${i}" for i in range(count)],
        "text": random.standard_normal((count, 4, 768)).astype(np.float32),
        "text_bert": random.integers(0, 9, (count, 3, 4)),
        "annotations": np.array(["Positive"] * count, dtype=object),
        "regression_labels": np.round(random.uniform(-3, 3, count), 1).astype(np.float32),
        "audio_lengths": lengths["audio"],
        "vision_lengths": lengths["vision"],
    }
    for key, (rows, width) in ROWS.items():
        made[key] = random.standard_normal((count, rows, width)).astype(np.float32)
        for i, used in enumerate(lengths[key]):
            made[key][i, used:] = 0
    return made


@pytest.fixture
def made():
    return {s: split(n, s, seed) for seed, (s, n) in enumerate({"train": 6, "valid": 2, "test": 3}.items())}


def saved(content, path, protocol=4):
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol=protocol)
    return path


def converted(content, padding="auto", on_fault="fail", **widths):
    return convert(content, "made", -3.0, 3.0, widths, padding, on_fault)


def kept_of(description, tensors, key):
    """Rows by clip."""
    clips = [clip for split in description["splits"].values() for clip in split]
    return {clip["id"]: tensors[key][clip[key][0] : sum(clip[key])] for clip in clips}


@pytest.mark.parametrize("protocol", range(6))
def test_round_trip(made, tmp_path, protocol):
    description, tensors, done = converted(load(saved(made, tmp_path / "made.pkl", protocol)), audio=5, vision=20)
    write(description, tensors, tmp_path / "out")
    description = json.loads((tmp_path / "out/dataset.json").read_text(encoding="utf-8"))
    tensors = load_file(tmp_path / "out/features.safetensors")
    assert (description["format"], description["version"]) == ("foveal-sentiment", 1)
    assert (description["audio_width"], description["vision_width"]) == (5, 20)
    assert done["clips"] == 11 and done["audio_values_replaced"] == 0
    for name, clips in description["splits"].items():
        assert [c["id"] for c in clips] == made[name]["id"]
        assert [c["text"] for c in clips] == made[name]["raw_text"].tolist()
        for i, clip in enumerate(clips):
            assert np.float32(clip["label"]) == made[name]["regression_labels"][i]
            for key in ROWS:
                first, rows = clip[key]
                assert rows == made[name][f"{key}_lengths"][i]
                assert np.array_equal(tensors[key][first : first + rows], made[name][key][i, :rows])
    assert all(len(tensors[k]) == sum(c[k][1] for s in description["splits"].values() for c in s) for k in ROWS)


def test_lengths_from_the_last_row_that_is_not_zero(made):
    with_lengths = converted(made)[0]
    for part in made.values():
        del part["audio_lengths"], part["vision_lengths"]
    assert converted(made)[0] == with_lengths


def test_missing_modality_and_labels(made):
    made["test"]["vision"][1] = 0
    made["test"]["vision_lengths"][1] = 1
    made["test"]["audio_lengths"][2] = 0
    del made["valid"]["regression_labels"]
    description, _, done = converted(made)
    clips = description["splits"]["test"]
    assert clips[1]["vision"][1] == 0 and clips[1]["audio"][1] > 0 and clips[2]["audio"][1] == 0
    assert (done["audio_missing"], done["vision_missing"]) == (1, 1)
    assert all(c["label"] is None for c in description["splits"]["valid"])


def test_silence_in_audio_is_replaced_and_counted(made):
    made["train"]["audio"][0, 0, :2] = -np.inf, np.nan
    _, tensors, done = converted(made)
    assert done["audio_values_replaced"] == 2
    assert np.array_equal(tensors["audio"][0, :2], [0, 0]) and np.isfinite(tensors["audio"]).all()


def test_an_id_that_comes_again_is_numbered(made):
    first = made["train"]["id"][0]
    made["train"]["id"][1:6] = [f"{first}#2", first, "", " ", ("video", 7)]
    made["test"]["id"][2] = first
    description, _, done = converted(made)
    assert [c["id"] for c in description["splits"]["train"]] == [
        first, f"{first}#2", f"{first}#3", "train_3", "train_4", "video$_$7",
    ]  # fmt: skip
    assert description["splits"]["test"][2]["id"] == f"{first}#4" and done["ids_renamed"] == 4
    made["test"]["id"] = [b"caf\xc3\xa9", b"caf\xe9", 5]
    assert [c["id"] for c in converted(made)[0]["splits"]["test"]] == ["caf\u00e9", "caf\\xe9", "5"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t["audio"].__setitem__((1, 0, 0), np.inf), r"train\$_\$1: audio has values that are not finite"),
        (lambda t: t["audio_lengths"].__setitem__(0, "x"), r"train\$_\$0: audio_lengths says nan of 9"),
        (lambda t: t["vision"].__setitem__((2, 0, 0), np.nan), r"train\$_\$2: vision has values"),
        (lambda t: t["regression_labels"].__setitem__(3, np.nan), r"train\$_\$3: label nan"),
        (lambda t: t["regression_labels"].__setitem__(3, 3.5), r"train\$_\$3: label 3.5 outside"),
        (lambda t: t["audio_lengths"].__setitem__(0, 10), r"train\$_\$0: audio_lengths says 10.0 of 9"),
        (lambda t: t.update(audio=t["audio"][:, :, :4]), "audio is 4 wide, wanted 5"),
        (lambda t: t.update(audio=t["audio"][:5]), "audio has 5 clips for 6 texts"),
        (lambda t: t.update(id=t["id"][:5]), "5 ids for 6 texts"),
        (lambda t: t.update(regression_labels=t["regression_labels"][:5]), "5 regression_labels for 6 texts"),
        (lambda t: t.update(regression_labels=["high"] * 6), "train: regression_labels are not numbers"),
        (lambda t: t.update(vision=t["vision"].tolist()[:5] + [[[0.0]]]), "vision is not one array"),
        (lambda t: t.pop("vision"), "train: no vision"),
        (lambda t: t.pop("raw_text"), "train: no raw_text"),
    ],
)
def test_what_does_not_fit_is_named(made, spoil, said):
    spoil(made["train"])
    with pytest.raises(Refused, match=said):
        converted(made, audio=5, vision=20)


def padded_in_front(made, lengths):
    for part in made.values():
        for key, (rows, _) in ROWS.items():
            for i, used in enumerate(part[f"{key}_lengths"]):
                part[key][i] = np.roll(part[key][i], rows - used, 0)
            if not lengths:
                del part[f"{key}_lengths"]
    return made


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("padding", ["auto", "front"])
def test_padding_in_front_gives_the_same_rows(made, lengths, padding):
    description, tensors, _ = converted(made)
    expected = {key: kept_of(description, tensors, key) for key in ROWS}
    description, tensors, done = converted(padded_in_front(made, lengths), padding)
    assert set(done["padding"].values()) == {"front"}
    for key in ROWS:
        for clip, rows in kept_of(description, tensors, key).items():
            assert np.array_equal(rows, expected[key][clip]), clip


def test_rows_of_zeros_within_a_clip_are_kept(made):
    rows = made["train"]["audio"][0]
    rows[:] = 0
    # Silence at both ends of 6 rows, padding behind.
    rows[2:4], made["train"]["audio_lengths"][0] = 1.0, 6
    description, tensors, _ = converted(made)
    assert len(kept_of(description, tensors, "audio")["train$_$0"]) == 6


def test_padding_on_both_sides_is_asked_about(made):
    part = made["train"]
    part["audio_lengths"] = [5] * 6
    part["audio"][:] = 0
    part["audio"][:3, :5] = 1
    part["audio"][3:, 4:] = 1
    with pytest.raises(Refused, match="train: 3 clips of audio seem to be padded in front and 3 behind: .*--padding"):
        converted(made)
    # Said by the user, the file's lengths are taken as they are.
    kept = kept_of(*converted(made, "front")[:2], "audio")
    assert [len(kept[f"train$_${i}"]) for i in range(6)] == [5] * 6
    assert (kept["train$_$0"][:, 0] != 0).tolist() == [True] + [False] * 4 and (kept["train$_$5"] != 0).all()


def test_a_length_that_leaves_rows_out_is_named(made):
    made["train"]["audio"][2] = 1
    made["train"]["audio_lengths"][2] = 4
    with pytest.raises(Refused, match=r"train\$_\$2: audio_lengths says 4 rows, but rows 0 to 8 of 9 are not zero"):
        converted(made)
    assert len(kept_of(*converted(made, on_fault="replace")[:2], "audio")["train$_$2"]) == 9
    assert len(kept_of(*converted(made, "back")[:2], "audio")["train$_$2"]) == 4


def faulty(made):
    part = made["train"]
    part["raw_text"] = list(part["raw_text"])
    part["raw_text"][0] = " \n"
    part["raw_text"][1] = b"caf\xe9 ol\xc3\xa9"
    part["vision"][2, 0, 3] = np.nan
    part["regression_labels"][3] = 3.5
    part["audio_lengths"][4] = 99
    return [
        "train$_$0: raw_text is blank",
        "train$_$1: raw_text is not UTF-8 from byte 3 on",
        "train$_$2: vision has values that are not finite, the first in row 0, column 3",
        "train$_$3: label 3.5 outside [-3.0, 3.0]",
        "train$_$4: audio_lengths says 99.0 of 9 rows",
    ]


def test_clips_with_faults_are_dropped_by_name(made):
    said = faulty(made)
    description, tensors, done = converted(made, on_fault="drop")
    assert [c["id"] for c in description["splits"]["train"]] == ["train$_$5"]
    assert (done["clips"], done["dropped"], done["faults_mended"]) == (6, 5, 0)
    assert done["notes"] == [f"{what}: left out" for what in said]
    for key in ROWS:
        assert len(tensors[key]) == sum(c[key][1] for s in description["splits"].values() for c in s)
    rows = made["train"]["audio_lengths"][5]
    assert np.array_equal(kept_of(description, tensors, "audio")["train$_$5"], made["train"]["audio"][5, :rows])


def test_faults_are_mended_by_name(made):
    said = faulty(made)
    description, tensors, done = converted(made, on_fault="replace")
    clips = description["splits"]["train"]
    assert (done["clips"], done["dropped"], done["faults_mended"]) == (11, 0, 5)
    assert all(note.startswith(f"{what}: ") for note, what in zip(done["notes"], said, strict=True))
    assert [clips[0]["text"], clips[1]["text"]] == ["...", "caf\ufffd ol\u00e9"]
    assert kept_of(description, tensors, "vision")["train$_$2"][0, 3] == 0 and np.isfinite(tensors["vision"]).all()
    assert clips[3]["label"] is None and clips[2]["label"] is not None
    used = np.flatnonzero((made["train"]["audio"][4] != 0).any(-1))[-1] + 1
    assert len(kept_of(description, tensors, "audio")["train$_$4"]) == used


@pytest.mark.parametrize("fault", range(5))
def test_a_fault_alone_ends_the_run_and_says_what_would_not(made, fault):
    clean = {k: list(v) if isinstance(v, list) else np.copy(v) for k, v in made["train"].items()}
    said = faulty(made)[fault]
    for i in range(6):
        if i != fault:
            for key in ("raw_text", "vision", "regression_labels", "audio_lengths"):
                made["train"][key][i] = clean[key][i]
    with pytest.raises(Refused) as refused:
        converted(made)
    assert str(refused.value).startswith(said) and "--on-fault drop" in str(refused.value)


def test_words_are_joined(made):
    made["test"]["raw_text"] = [["so", "it", b"caf\xc3\xa9"], np.array(["a", "b"]), ("alone",)]
    assert [c["text"] for c in converted(made)[0]["splits"]["test"]] == ["so it caf\u00e9", "a b", "alone"]
    made["test"]["raw_text"][1] = [3, "b"]
    with pytest.raises(Refused, match=r"test\$_\$1: raw_text is a int"):
        converted(made)
    made["test"]["raw_text"][1] = []
    with pytest.raises(Refused, match=r"test\$_\$1: raw_text is blank"):
        converted(made)


@pytest.mark.parametrize("name", SPLITS)
def test_a_split_alone_by_any_of_its_names(made, tmp_path, name):
    for spelling in (name, name.upper()):
        content = {"version": 1, spelling: made["test"]}
        description, _, done = converted(load(saved(content, tmp_path / "one.pkl")))
        assert {k: len(v) for k, v in description["splits"].items()} == {SPLITS[name]: 3} and done["clips"] == 3


def test_clips_without_splits_are_the_test_split(made, tmp_path):
    alone = {k: made["test"][k] for k in ("raw_text", "audio", "vision")}
    description = converted(load(saved(alone, tmp_path / "new.pkl")))[0]
    assert [c["id"] for c in description["splits"]["test"]] == ["test_0", "test_1", "test_2"]


def test_splits_that_cannot_be(made, tmp_path):
    both = {"valid": made["valid"], "dev": made["valid"]}
    with pytest.raises(Refused, match="two splits are valid: valid, dev"):
        load(saved(both, tmp_path / "both.pkl"))
    with pytest.raises(Refused, match="test is a list"):
        load(saved({"test": [1]}, tmp_path / "list.pkl"))
    with pytest.raises(Refused, match="it has fold_0"):
        load(saved({"fold_0": made["test"]}, tmp_path / "folds.pkl"))
    with pytest.raises(Refused, match="no clip in any split"):
        converted({"test": {"raw_text": []}})
    made["test"] = {"raw_text": []}
    assert converted(made)[0]["splits"]["test"] == []
    blank = {k: v[:1] for k, v in made["valid"].items()} | {"raw_text": [""]}
    with pytest.raises(Refused, match="no clip is left"):
        converted({"valid": blank}, on_fault="drop")


class Python2(pickle._Pickler):
    """Writes text as Python 2 wrote its strings: bytes without an encoding."""

    dispatch = dict(pickle._Pickler.dispatch)

    def text(self, value):
        value = value.encode("utf-8") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)

    dispatch[str] = dispatch[bytes] = text


def test_strings_of_python_2_are_utf_8(made, tmp_path):
    for part in made.values():
        part["raw_text"] = [str(text) for text in part["raw_text"]]
    expected, tensors, _ = converted(made)
    path = tmp_path / "python2.pkl"
    with open(path, "wb") as file:
        Python2(file, protocol=2).dump(made)
    assert b"audio_lengths" in path.read_bytes() and b"n\xc3\xa4h" in path.read_bytes()
    description, found, _ = converted(load(path))
    assert description == expected and "n\u00e4h" in description["splits"]["train"][0]["text"]
    assert all(np.array_equal(found[key], tensors[key]) for key in ROWS)


class Calls:
    """Pickled as a call, as a hostile file would be."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def hostile(tmp_path):
    import os

    mark = tmp_path / "ran"
    return mark, [
        ("posix.system", Calls(os.system, f"touch {mark}")),
        ("builtins.eval", Calls(eval, f"open({str(mark)!r}, 'w')")),
        ("builtins.getattr", Calls(getattr, np.ndarray, "tofile")),
        ("subprocess.Popen", Calls(subprocess.Popen, ["touch", str(mark)])),
        ("numpy.load", Calls(np.load, str(mark))),
        # A dotted name that begins at an admitted one.
        ("numpy.ndarray.tofile", b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."),
    ]


def test_hostile_pickles_are_refused_by_name(made, tmp_path):
    mark, files = hostile(tmp_path)
    for name, payload in files:
        path = tmp_path / "hostile.pkl"
        if isinstance(payload, bytes):
            path.write_bytes(payload)
        else:
            made["train"]["annotations"] = [payload]
            saved(made, path)
        with pytest.raises(Refused) as refused:
            load(path)
        assert f"{name}, which is not admitted" in str(refused.value)
        assert not mark.exists()


def test_the_hostile_pickles_would_run_elsewhere(tmp_path):
    mark, files = hostile(tmp_path)
    pickle.loads(pickle.dumps(files[0][1]))
    assert mark.exists()


def test_bytes_are_only_admitted_as_latin1(tmp_path):
    import codecs

    path = saved({"train": Calls(codecs.encode, "x" * 99, "zlib")}, tmp_path / "codec.pkl")
    with pytest.raises(Refused, match="zlib"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x04]\x94.", b"\x80\x04}\x94."])
def test_what_is_no_feature_file(tmp_path, content):
    path = tmp_path / "other.pkl"
    path.write_bytes(content)
    with pytest.raises(Refused, match="other.pkl"):
        load(path)


def test_a_folder_is_whole_or_not_described(made, tmp_path, monkeypatch):
    description, tensors, _ = converted(made)
    out = tmp_path / "out"
    write(description, tensors, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert sorted(before) == ["dataset.json", "features.safetensors"]

    def full(*_):
        raise OSError(28, "No space left on device")

    # A disk that is full at any moment leaves the old folder; one that fails between the moves leaves none.
    for spoiled, left in [("convert.save_file", before), ("convert.forced", before), ("pathlib.Path.replace", None)]:
        with monkeypatch.context() as patch:
            patch.setattr(spoiled, full)
            with pytest.raises(OSError, match="No space"):
                write(description, tensors, out)
        found = {path.name: path.read_bytes() for path in out.iterdir()}
        assert found == (left or {"features.safetensors": before["features.safetensors"]})


def ran(program, *arguments, **environment):
    command = [sys.executable, HERE / "convert.py"] if program == "convert" else ["sh", HERE / "score.sh"]
    environment = os.environ | {"PYTHON": sys.executable} | environment
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, env=environment)


def test_the_program(made, tmp_path):
    path = saved(made, tmp_path / "made.pkl")
    done = ran("convert", path, tmp_path / "out", "--dataset", "mosi")
    assert done.returncode == 0 and "clips: 11" in done.stdout and "sha256" in done.stdout, done.stderr
    assert "padding behind: train audio, train vision" in done.stdout
    done = ran("convert", path, tmp_path / "out", "--dataset", "sims")
    assert done.returncode == 1 and "audio is 5 wide, wanted 33" in done.stderr
    done = ran("convert", path, tmp_path / "out", "--label-range", "3", "-3")
    assert done.returncode == 2 and "the first is to be the lower one" in done.stderr
    done = ran("convert", tmp_path / "none.pkl", tmp_path / "out", "--dataset", "mosi")
    assert done.returncode == 1 and "none.pkl" in done.stderr and "Traceback" not in done.stderr
    faulty(made)
    saved(made, path)
    done = ran("convert", path, tmp_path / "out", "--dataset", "mosi", "--on-fault", "drop")
    assert done.returncode == 0 and "dropped: 5" in done.stdout and "train$_$0: raw_text is blank" in done.stderr


def model(folder, audio=5):
    folder.mkdir()
    sizes = {"audio_width": audio, "vision_width": 20}
    (folder / "sentiment.json").write_text(json.dumps({"model": sizes, "label_range": [-3.0, 3.0]}))
    return folder


def test_from_a_pickle_to_the_program_that_scores(made, tmp_path):
    """With a program in its place that notes what it is asked for, and ends as it is told."""
    path = saved({"test": made["test"]}, tmp_path / "made.pkl")
    stand_in = tmp_path / "sentiment"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$NOTES"\nexit "$ENDS"\n')
    stand_in.chmod(0o755)
    notes, out, trained = tmp_path / "notes", tmp_path / "my scores.jsonl", model(tmp_path / "model")
    for ends in (0, 3):
        done = ran("score", path, trained, out, "--on-fault", "drop", SENTIMENT=str(stand_in), NOTES=str(notes), ENDS=str(ends))
        assert done.returncode == ends, done.stderr
        data = f"{out}.data"
        asked = notes.read_text().splitlines()
        assert asked == ["score", data, "--model", str(trained), "--out", str(out)]
        assert len(json.loads((Path(data) / "dataset.json").read_text())["splits"]["test"]) == 3
        notes.unlink()
    # What cannot be converted is not scored.
    for arguments in [(path, model(tmp_path / "wide", 6), out), (path, tmp_path / "none", out), (path, trained)]:
        done = ran("score", *arguments, SENTIMENT=str(stand_in), NOTES=str(notes), ENDS="0")
        assert done.returncode != 0 and done.stderr and not notes.exists()
