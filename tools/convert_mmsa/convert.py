"""Converts an MMSA feature pickle to a folder that foveal reads: `dataset.json` and `features.safetensors`.

    python convert.py --dataset mosi unaligned_50.pkl OUT
    python convert.py --name mine --label-range -3 3 features.pkl OUT
    python convert.py --like MODEL new_clips.pkl OUT

A pickle is a program. This reader runs none of it: it admits the few names from which NumPy arrays are rebuilt, plain
containers, and nothing else.
"""

import argparse
import hashlib
import json
import os
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
# Names of splits, and what foveal calls them.
SPLITS = {"train": "train", "valid": "valid", "val": "valid", "dev": "valid", "validation": "valid", "test": "test"}
FAULTS = ("fail", "drop", "replace")
PADDINGS = ("auto", "front", "back")
# Stands for a text that is blank, where clips with faults are mended.
NO_WORDS = "..."


class Refused(Exception):
    """The file cannot be converted; the message names what is wrong."""


class Dropped(Exception):
    """The clip is left out."""


class Faults:
    """What is done about a clip with a fault: the run ends, the clip is left out, or the fault is mended. Each is noted."""

    def __init__(self, policy):
        assert policy in FAULTS
        self.policy, self.notes, self.dropped, self.mended = policy, [], 0, 0

    def found(self, clip, what, instead, mended):
        """`mended` is what is taken instead, and `instead` says so."""
        if self.policy == "replace":
            self.notes.append(f"{clip}: {what}: {instead}")
            self.mended += 1
            return mended
        if self.policy == "drop":
            raise Dropped(f"{clip}: {what}: left out")
        raise Refused(f"{clip}: {what} (--on-fault drop leaves such clips out, --on-fault replace: {instead})")


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
    """The splits of a file, by foveal's names, each a dict with text as keys."""
    with open(path, "rb") as file:
        try:
            # bytes: text of Python 2 has no encoding of its own; what is text is decoded where it is read.
            content = RestrictedUnpickler(file, encoding="bytes").load()
        except Refused as refused:
            raise Refused(f"{path}: {refused}") from None
        except Exception as error:  # a broken pickle raises nearly anything
            raise Refused(f"{path}: not a readable pickle: {type(error).__name__}: {error}") from None
    if not isinstance(content, dict):
        raise Refused(f"{path}: holds a {type(content).__name__}, not a dict with {', '.join(SPLITS)}")
    content = with_text_keys(content)
    if "raw_text" in content:
        # Clips that were never divided, such as new ones to score.
        return {"test": content}
    splits = {}
    for name, split in content.items():
        kind = SPLITS.get(name.lower()) if isinstance(name, str) else None
        if kind is None:
            continue
        if not isinstance(split, dict):
            raise Refused(f"{path}: {name} is a {type(split).__name__}, not a dict with raw_text, audio and vision")
        if kind in splits:
            raise Refused(f"{path}: two splits are {kind}: {', '.join(map(str, content))}")
        splits[kind] = with_text_keys(split)
    if not splits:
        raise Refused(f"{path}: no split {', '.join(SPLITS)}, and no raw_text; it has {', '.join(map(str, content)) or 'nothing'}")
    return splits


def with_text_keys(mapping):
    return {k.decode("utf-8", "backslashreplace") if isinstance(k, bytes) else k: v for k, v in mapping.items()}


def plain(value):
    """Without NumPy around single values and lists."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def name_of(value):
    """An id; parts of one, such as video and clip, are joined as MMSA joins them."""
    value = plain(value)
    if isinstance(value, (list, tuple)):
        return "$_$".join(map(name_of, value))
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def text_of(value, clip, faults):
    """What is said; a list of words is joined."""
    value = plain(value)
    if isinstance(value, (list, tuple)):
        return " ".join(text_of(word, clip, faults) for word in value)
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        raise Refused(f"{clip}: raw_text is a {type(value).__name__}, neither text nor a list of words")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"raw_text is not UTF-8 from byte {error.start} on"
        return faults.found(clip, what, "the bytes become U+FFFD", value.decode("utf-8", "replace"))


def words_of(value, clip, faults):
    text = text_of(value, clip, faults)
    if not text.strip():
        return faults.found(clip, "raw_text is blank", f"the text becomes {NO_WORDS!r}", NO_WORDS)
    return text


def ids_of(split, name, count, seen):
    """Ids that no other clip has, and how many of them are not the file's."""
    values = split.get("id")
    if values is None:
        values = [f"{name}_{i}" for i in range(count)]
    if len(values) != count:
        raise Refused(f"{name}: {len(values)} ids for {count} texts")
    ids, renamed = [], 0
    for i, value in enumerate(values):
        given = name_of(value)
        # Scores are told apart by their ids: one that comes again gets a number, an empty one a name.
        first = given if given.strip() else f"{name}_{i}"
        own, number = first, 1
        while own in seen:
            number += 1
            own = f"{first}#{number}"
        seen.add(own)
        ids.append(own)
        renamed += own != given
    return ids, renamed


def array_of(split, name, key, count, width):
    """(clips, rows, width), numbers."""
    if key not in split:
        raise Refused(f"{name}: no {key}")
    try:
        array = np.asarray(split[key])
    except ValueError as error:
        raise Refused(f"{name}: {key} is not one array: {error}") from None
    if array.dtype.kind not in "fiu" or array.ndim != 3:
        raise Refused(f"{name}: {key} is {array.dtype} {array.shape}, wanted numbers (clips, rows, width)")
    if len(array) != count:
        raise Refused(f"{name}: {key} has {len(array)} clips for {count} texts")
    if width is not None and array.shape[2] != width:
        raise Refused(f"{name}: {key} is {array.shape[2]} wide, wanted {width}")
    return array


def lengths_of(split, name, key, ids, array):
    """The number of rows that the file says for each clip: not a number where it makes no sense, None where it says none."""
    given = split.get(f"{key}_lengths")
    if given is None:
        return [None] * len(ids)
    if len(given) != len(ids):
        raise Refused(f"{name}: {len(given)} {key}_lengths for {len(ids)} texts")
    lengths = []
    for value in given:
        try:
            lengths.append(float(np.asarray(value).reshape(-1)[0]))
        except (ValueError, TypeError, IndexError):
            lengths.append(float("nan"))
    return lengths


def edges(rows):
    """First row that is not all zero, and the end behind the last one; (0, 0) without any."""
    used = np.flatnonzero((rows != 0).any(-1))
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)


def fits(ends, length, rows):
    """Whether the rows that are not zero lie among the last `length`, and whether among the first."""
    first, end = ends
    return first >= rows - length, end <= length


def side_of(name, key, array, lengths):
    """On which side clips are padded with zeros, as most of those say that can only be read in one way."""
    votes = {"front": 0, "back": 0}
    rows = array.shape[1]
    for clip, length in zip(array, lengths):
        first, end = edges(clip)
        if end == 0:
            continue
        if length is None:
            front, back = first > 0, end < rows
        elif 0 <= length <= rows:
            front, back = fits((first, end), length, rows)
        else:
            continue
        if front != back:
            votes["front" if front else "back"] += 1
    front, back = votes["front"], votes["back"]
    if min(front, back) * 9 > max(front, back):
        raise Refused(
            f"{name}: {front} clips of {key} seem to be padded in front and {back} behind: say which, with --padding front or back"
        )
    return "front" if front > back else "back"


def span_of(clip, key, rows, length, side, exact, faults):
    """The first of a clip's rows and their number; none of a modality that is all zero."""
    first, end = edges(rows)
    count = len(rows)
    # Files write 1 for a modality that could not be extracted, before a row of zeros.
    if end == 0:
        return 0, 0
    seen = (first, count - first) if side == "front" else (0, end)
    if length is None:
        return seen
    if not (0 <= length <= count and length == int(length)):
        what = f"{key}_lengths says {length} of {count} rows"
        return faults.found(clip, what, "rows are counted", seen)
    length = int(length)
    in_front, behind = fits((first, end), length, count)
    if not exact and not (in_front if side == "front" else behind):
        if length == 0:
            return 0, 0
        what = f"{key}_lengths says {length} rows, but rows {first} to {end - 1} of {count} are not zero"
        return faults.found(clip, what, "rows are counted", seen)
    start = count - length if side == "front" else 0
    return (start, length) if (rows[start : start + length] != 0).any() else (0, 0)


def label_of(value, clip, low, high, faults):
    if not low <= value <= high:  # also of a NaN
        return faults.found(clip, f"label {value} outside [{low}, {high}]", "the clip has no label", None)
    # Labels of the SIMS files are f32; 0.2f32 printed as an f64 would read 0.20000000298.
    return float(np.format_float_positional(np.float32(value)))


def labels_of(split, name, count):
    values = split.get("regression_labels")
    if values is None:
        return [None] * count
    try:
        values = np.asarray(values, dtype=np.float64).reshape(-1)
    except (ValueError, TypeError) as error:
        raise Refused(f"{name}: regression_labels are not numbers: {error}") from None
    if len(values) != count:
        raise Refused(f"{name}: {len(values)} regression_labels for {count} texts")
    return values.tolist()


def clean(rows, key, clip, faults):
    """f32 rows and the number of values replaced. COVAREP gives the logarithm of zero in silence."""
    with np.errstate(over="ignore"):
        rows = np.array(rows, dtype=np.float32)
    replaced = 0
    if key == "audio":
        broken = np.isnan(rows) | np.isneginf(rows)
        replaced = int(broken.sum())
        rows[broken] = 0
    broken = ~np.isfinite(rows)
    if broken.any():
        row, column = np.argwhere(broken)[0]
        what = f"{key} has values that are not finite, the first in row {row}, column {column}"
        rows = faults.found(clip, what, "they become 0", np.where(broken, np.float32(0), rows))
    return rows, replaced


def convert(content, name, low, high, widths, padding="auto", on_fault="fail"):
    """The description, the tensors, and what was done, for the log."""
    faults = Faults(on_fault)
    splits, seen = {}, set()
    done = {"clips": 0, "audio_values_replaced": 0, "audio_missing": 0, "vision_missing": 0, "ids_renamed": 0}
    blocks, first = {"audio": [], "vision": []}, {"audio": 0, "vision": 0}
    widths = dict(widths)
    for part in dict.fromkeys(SPLITS.values()):
        split = content.get(part)
        if split is None:
            continue
        if "raw_text" not in split:
            raise Refused(f"{part}: no raw_text")
        count = len(split["raw_text"])
        ids, renamed = ids_of(split, part, count, seen)
        done["ids_renamed"] += renamed
        clips = splits[part] = []
        if count == 0:
            continue
        labels = labels_of(split, part, count)
        features = {}
        for key in blocks:
            array = array_of(split, part, key, count, widths.get(key))
            widths[key] = array.shape[2]
            lengths = lengths_of(split, part, key, ids, array)
            side = side_of(part, key, array, lengths) if padding == "auto" else padding
            features[key] = array, lengths, side
            done.setdefault("padding", {})[f"{part} {key}"] = side
        for i, clip in enumerate(ids):
            try:
                kept = {"id": clip, "text": words_of(split["raw_text"][i], clip, faults)}
                kept["label"] = None if labels[i] is None else label_of(labels[i], clip, low, high, faults)
                rows = {}
                for key, (array, lengths, side) in features.items():
                    start, n = span_of(clip, key, array[i], lengths[i], side, padding != "auto", faults)
                    rows[key] = clean(array[i][start : start + n], key, clip, faults)
            except Dropped as dropped:
                faults.notes.append(str(dropped))
                faults.dropped += 1
                continue
            for key, (values, replaced) in rows.items():
                kept[key] = [first[key], len(values)]
                first[key] += len(values)
                done["audio_values_replaced"] += replaced
                done[f"{key}_missing"] += len(values) == 0
                blocks[key].append(values)
            clips.append(kept)
        done["clips"] += len(clips)
    if not done["clips"]:
        raise Refused("no clip is left" if faults.dropped else "no clip in any split")
    done |= {"dropped": faults.dropped, "faults_mended": faults.mended, "notes": faults.notes}
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


def forced(path):
    """Content to the disk, before anything takes its name."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def write(description, tensors, folder):
    """Both files are written beside their places. The description goes first and comes last, so that a folder that has one is
    whole, whatever happens in between."""
    folder.mkdir(parents=True, exist_ok=True)
    features, data = folder / "features.safetensors", folder / "dataset.json"
    beside = {path: path.with_name(f"{path.name}.{os.getpid()}.partial") for path in (features, data)}
    try:
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, beside[features])
        text = json.dumps(description, ensure_ascii=False)
        # A clip a line, so that the file can be read and searched. Lone surrogates have no UTF-8.
        text = text.replace('{"id"', '\n{"id"') + "\n"
        beside[data].write_bytes(text.encode("utf-8", "replace"))
        for path in beside.values():
            forced(path)
        data.unlink(missing_ok=True)
        for path in (features, data):
            beside[path].replace(path)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)


def of_model(folder):
    """Label range and widths that a trained model takes."""
    path = folder / "sentiment.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        model = description["model"]
        return {"range": description["label_range"], "audio": model["audio_width"], "vision": model["vision_width"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{path}: not the description of a model: {error}") from None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pickle", type=Path)
    parser.add_argument("out", type=Path, help="folder for dataset.json and features.safetensors")
    parser.add_argument("--dataset", choices=KNOWN, help="label range and feature widths of a published file")
    parser.add_argument("--like", type=Path, metavar="MODEL", help="label range and feature widths of a trained model's folder")
    parser.add_argument("--name", help="name of the data set (default: that of --dataset, or the file's)")
    parser.add_argument("--label-range", type=float, nargs=2, metavar=("LOW", "HIGH"))
    parser.add_argument("--padding", choices=PADDINGS, default="auto", help="side on which clips are padded with zeros (default: as the clips say)")
    parser.add_argument(
        "--on-fault",
        choices=FAULTS,
        default="fail",
        help="a clip with blank or undecodable text, features that are not finite, a label out of range or a length that does "
        "not fit: end (default), leave the clip out, or mend it as the README says",
    )
    arguments = parser.parse_args()
    try:
        known = of_model(arguments.like) if arguments.like else KNOWN.get(arguments.dataset, {})
        label_range = arguments.label_range or known.get("range")
        if label_range is None:
            parser.error("give --dataset, --like or --label-range")
        if not label_range[0] < label_range[1]:
            parser.error(f"--label-range {label_range[0]} {label_range[1]}: the first is to be the lower one")
        # Before a file of gigabytes is read.
        arguments.out.mkdir(parents=True, exist_ok=True)
        with open(arguments.pickle, "rb") as file:
            print(f"{arguments.pickle}: sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}")
        description, tensors, done = convert(
            load(arguments.pickle),
            arguments.name or arguments.dataset or arguments.pickle.stem,
            *map(float, label_range),
            {k: known[k] for k in ("audio", "vision") if k in known},
            arguments.padding,
            arguments.on_fault,
        )
        write(description, tensors, arguments.out)
    except (Refused, OSError) as error:
        sys.exit(str(error))
    for note in done.pop("notes"):
        print(note, file=sys.stderr)
    sides = done.pop("padding")
    for side in sorted(set(sides.values())):
        print(f"padding {'in front' if side == 'front' else 'behind'}: {', '.join(k for k, v in sides.items() if v == side)}")
    print(", ".join(f"{k.replace('_', ' ')}: {v}" for k, v in done.items()))


if __name__ == "__main__":
    main()
