"""pytest test_convert.py: round trips of made-up files in the published format, and pickles that must be refused."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from convert import Refused, convert, load, write
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


def converted(content, **widths):
    return convert(content, "made", -3.0, 3.0, widths)


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
    made["test"]["id"][2] = made["train"]["id"][0]
    description, _, done = converted(made)
    assert description["splits"]["test"][2]["id"] == made["train"]["id"][0] + "#2" and done["ids_renamed"] == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t["audio"].__setitem__((1, 0, 0), np.inf), r"train\$_\$1: audio has values that are not finite"),
        (lambda t: t["vision"].__setitem__((2, 0, 0), np.nan), r"train\$_\$2: vision has values"),
        (lambda t: t["regression_labels"].__setitem__(3, np.nan), r"train\$_\$3: label nan"),
        (lambda t: t["regression_labels"].__setitem__(3, 3.5), r"train\$_\$3: label 3.5 outside"),
        (lambda t: t["audio_lengths"].__setitem__(0, 10), r"train\$_\$0: audio_lengths says 10.0 of 9"),
        (lambda t: t.update(audio=t["audio"][:, :, :4]), "audio is 4 wide, wanted 5"),
        (lambda t: t.update(audio=t["audio"][:5]), "audio has 5 clips for 6 texts"),
        (lambda t: t.update(id=t["id"][:5]), "5 ids for 6 texts"),
        (lambda t: t.update(regression_labels=t["regression_labels"][:5]), "5 regression_labels for 6 texts"),
        (lambda t: t.update(vision=t["vision"].tolist()[:5] + [[[0.0]]]), "vision is not one array"),
        (lambda t: t.pop("vision"), "train: no vision"),
        (lambda t: t.pop("raw_text"), "train: no raw_text"),
    ],
)
def test_what_does_not_fit_is_named(made, spoil, said):
    spoil(made["train"])
    with pytest.raises(Refused, match=said):
        converted(made, audio=5, vision=20)


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


def test_the_program(made, tmp_path):
    path = saved(made, tmp_path / "made.pkl")
    command = [sys.executable, HERE / "convert.py", path, tmp_path / "out"]
    ran = subprocess.run([*command, "--dataset", "mosi"], capture_output=True, text=True)
    assert ran.returncode == 0 and "clips: 11" in ran.stdout and "sha256" in ran.stdout, ran.stderr
    ran = subprocess.run([*command, "--dataset", "sims"], capture_output=True, text=True)
    assert ran.returncode == 1 and "outside [-1.0, 1.0]" in ran.stderr
