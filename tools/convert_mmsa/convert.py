"""Converts an MMSA feature pickle to a folder that foveal reads: `dataset.json` and `features.safetensors`.

    python convert.py --dataset mosi unaligned_50.pkl OUT
    python convert.py --name mine --label-range -3 3 features.pkl OUT

A pickle is a program. This reader runs none of it: it admits the few names from which NumPy arrays are rebuilt, plain
containers, and nothing else.
"""

import argparse
import hashlib
import json
import pickle
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

# Label range, and the widths of audio and vision, of the published feature files.
KNOWN = {
    "mosi": {"range": (-3.0, 3.0), "audio": 5, "vision": 20},
    "mosei": {"range": (-3.0, 3.0), "audio": 74, "vision": 35},
    "sims": {"range": (-1.0, 1.0), "audio": 33, "vision": 709},
}
SPLITS = ("train", "valid", "test")


class Refused(Exception):
    """The file cannot be converted; the message names what is wrong."""


def latin1(text, encoding):
    """`_codecs.encode`, by which Python 2 style pickles carry bytes: for that use only."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused(f"the pickle encodes {type(text).__name__} with {encoding!r}; only text with latin1 is admitted")
    return text.encode("latin1")


def admitted():
    multiarray, numeric = np._core.multiarray, np._core.numeric
    names = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype, ("_codecs", "encode"): latin1}
    # NumPy 2 renamed its private modules; both names stand in the pickles that are around.
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = multiarray._reconstruct
        names[f"{core}.multiarray", "scalar"] = multiarray.scalar
        names[f"{core}.numeric", "_frombuffer"] = numeric._frombuffer
    for module in ("builtins", "__builtin__"):
        for kind in (set, frozenset, bytearray, list, tuple, dict, str, bytes, int, float, bool, complex):
            names[module, kind.__name__] = kind
        names[module, "unicode"] = str
    return names


class RestrictedUnpickler(pickle.Unpickler):
    ADMITTED = admitted()

    def find_class(self, module, name):
        # Pairs are compared whole, so a dotted name ("ndarray.tofile") cannot walk from an admitted one to another.
        try:
            return self.ADMITTED[module, name]
        except KeyError:
            raise Refused(f"the pickle asks for {module}.{name}, which is not admitted") from None


def load(path):
    with open(path, "rb") as file:
        try:
            # latin1: the encoding in which Python 2 wrote arrays.
            content = RestrictedUnpickler(file, encoding="latin1").load()
        except Refused as refused:
            raise Refused(f"{path}: {refused}") from None
        except Exception as error:  # a broken pickle raises nearly anything
            raise Refused(f"{path}: not a readable pickle: {type(error).__name__}: {error}") from None
    if not isinstance(content, dict):
        raise Refused(f"{path}: holds a {type(content).__name__}, not a dict with {', '.join(SPLITS)}")
    missing = [s for s in SPLITS if not isinstance(content.get(s), dict)]
    if missing:
        raise Refused(f"{path}: no split {', '.join(missing)}; it has {', '.join(map(str, content))}")
    return content


def text_of(value):
    value = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 else value
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def ids_of(split, name, count, seen):
    values = split.get("id")
    if values is None:
        values = [f"{name}_{i}" for i in range(count)]
    if len(values) != count:
        raise Refused(f"{name}: {len(values)} ids for {count} texts")
    ids = []
    for value in values:
        # Scores are told apart by their ids: one that comes again gets a number.
        once = text_of(value)
        seen[once] = seen.get(once, 0) + 1
        ids.append(once if seen[once] == 1 else f"{once}#{seen[once]}")
    return ids


def array_of(split, name, key, ids, width):
    """(clips, rows, width), float."""
    if key not in split:
        raise Refused(f"{name}: no {key}")
    try:
        array = np.asarray(split[key])
    except ValueError as error:
        raise Refused(f"{name}: {key} is not one array: {error}") from None
    if array.dtype.kind not in "fiu" or array.ndim != 3:
        raise Refused(f"{name}: {key} is {array.dtype} {array.shape}, wanted numbers (clips, rows, width)")
    if len(array) != len(ids):
        raise Refused(f"{name}: {key} has {len(array)} clips for {len(ids)} texts")
    if width is not None and array.shape[2] != width:
        raise Refused(f"{name}: {key} is {array.shape[2]} wide, wanted {width}")
    return array


def lengths_of(split, name, key, ids, array):
    """Rows of each clip, from the file or, where it has none, up to the last row that is not all zero."""
    given = split.get(f"{key}_lengths")
    lengths = []
    if given is not None and len(given) != len(ids):
        raise Refused(f"{name}: {len(given)} {key}_lengths for {len(ids)} texts")
    for i, clip in enumerate(array):
        used = np.flatnonzero((clip != 0).any(-1))
        rows = int(used[-1]) + 1 if len(used) else 0
        if given is not None:
            said = float(np.asarray(given[i]).reshape(-1)[0])
            if said != int(said) or not 0 <= said <= len(clip):
                raise Refused(f"{ids[i]}: {key}_lengths says {said} of {len(clip)} rows")
            # Files write 1 for a modality that could not be extracted, before a row of zeros.
            rows = int(said) if used.size and used[0] < said else 0
        lengths.append(rows)
    return lengths


def labels_of(split, name, ids, low, high):
    values = split.get("regression_labels")
    if values is None:
        return [None] * len(ids)
    values = np.asarray(values, dtype=np.float64).reshape(-1)
    if len(values) != len(ids):
        raise Refused(f"{name}: {len(values)} regression_labels for {len(ids)} texts")
    for clip, value in zip(ids, values):
        if not low <= value <= high:  # also of a NaN
            raise Refused(f"{clip}: label {value} outside [{low}, {high}]")
    # Labels of the SIMS files are f32; 0.2f32 printed as an f64 would read 0.20000000298.
    return [float(np.format_float_positional(np.float32(v))) for v in values]


def clean(rows, key, clip):
    """f32 rows and the number of values replaced. COVAREP gives the logarithm of zero in silence."""
    rows = np.array(rows, dtype=np.float32)
    replaced = 0
    if key == "audio":
        broken = np.isnan(rows) | np.isneginf(rows)
        replaced = int(broken.sum())
        rows[broken] = 0
    if not np.isfinite(rows).all():
        raise Refused(f"{clip}: {key} has values that are not finite")
    return rows, replaced


def convert(content, name, low, high, widths):
    """The description, the tensors, and what was done, for the log."""
    splits, done = {}, {"clips": 0, "audio_values_replaced": 0, "audio_missing": 0, "vision_missing": 0, "ids_renamed": 0}
    blocks = {"audio": [], "vision": []}
    first = {"audio": 0, "vision": 0}
    widths, seen = dict(widths), {}
    for part in SPLITS:
        split = content[part]
        if "raw_text" not in split:
            raise Refused(f"{part}: no raw_text")
        texts = [text_of(t) for t in split["raw_text"]]
        ids = ids_of(split, part, len(texts), seen)
        labels = labels_of(split, part, ids, low, high)
        clips = [{"id": i, "text": t, "label": label} for i, t, label in zip(ids, texts, labels)]
        for key, kept in blocks.items():
            array = array_of(split, part, key, ids, widths.get(key))
            widths[key] = array.shape[2]
            for clip, whole, rows in zip(clips, array, lengths_of(split, part, key, ids, array)):
                values, replaced = clean(whole[:rows], key, clip["id"])
                clip[key] = [first[key], rows]
                first[key] += rows
                done["audio_values_replaced"] += replaced
                done[f"{key}_missing"] += rows == 0
                kept.append(values)
        splits[part] = clips
        done["clips"] += len(clips)
    done["ids_renamed"] = sum(n - 1 for n in seen.values())
    tensors = {k: np.concatenate(v) if v else np.zeros((0, widths[k]), np.float32) for k, v in blocks.items()}
    description = {
        "format": "foveal-sentiment",
        "version": 1,
        "name": name,
        "label_range": [low, high],
        "audio_width": widths["audio"],
        "vision_width": widths["vision"],
        "splits": splits,
    }
    return description, tensors, done


def write(description, tensors, folder):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, folder / "features.safetensors")
    text = json.dumps(description, ensure_ascii=False)
    # A clip a line, so that the file can be read and searched.
    (folder / "dataset.json").write_text(text.replace('{"id"', '\n{"id"') + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pickle", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dataset", choices=KNOWN, help="label range and feature widths of a published file")
    parser.add_argument("--name", help="name of the data set (default: that of --dataset)")
    parser.add_argument("--label-range", type=float, nargs=2, metavar=("LOW", "HIGH"))
    arguments = parser.parse_args()
    known = KNOWN.get(arguments.dataset, {})
    label_range = arguments.label_range or known.get("range")
    if label_range is None:
        parser.error("give --dataset or --label-range")
    digest = hashlib.file_digest(open(arguments.pickle, "rb"), "sha256").hexdigest()
    print(f"{arguments.pickle}: sha256 {digest}")
    try:
        description, tensors, done = convert(
            load(arguments.pickle),
            arguments.name or arguments.dataset or arguments.pickle.stem,
            *map(float, label_range),
            {k: known[k] for k in ("audio", "vision") if k in known},
        )
    except Refused as refused:
        sys.exit(str(refused))
    write(description, tensors, arguments.out)
    print(", ".join(f"{k.replace('_', ' ')}: {v}" for k, v in done.items()))


if __name__ == "__main__":
    main()
