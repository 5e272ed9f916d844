"""Makes a sentiment data set from real signals with synthetic labels, in the folder format of foveal.

    python make.py OUT [--sizes 600 150 250] [--seed 0] [--irony 0] [--simulate] [--turn] [--missing 0.06]

The label of a clip is a weighted sum of what its words, its voice and its face say, and noise. With `--irony` the face
may reverse the words, with `--turn` the voice says which word counts. See README.md.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path

import face
import numpy as np
import speech
import voice
from safetensors.numpy import save_file
from words import Sentences

WEIGHTS = {"text": 0.9, "audio": 0.65, "vision": 0.65, "noise": 0.2}
# The deviation of the mean rating of a sentence is about 2: divided by it, the three parts have one scale.
RATING_SCALE = 2.0
PERSONS = {"train": 48, "valid": 12, "test": 20}
LOW, HIGH = -3.0, 3.0


def make_clip(name, sentences, persons, training, how, random):
    """A clip as (description, audio rows, vision rows, the parts of its label)."""
    if how["turn"]:
        pieces, rating = sentences.draw_turn(random, training)
    else:
        text, rating = sentences.draw(random, training)
        pieces = [text, "", ""]
    text = "".join(pieces)
    who = persons[random.integers(len(persons))]
    said, felt, shown = rating / RATING_SCALE, *random.uniform(-(3**0.5), 3**0.5, 2)
    wry, weights = bool(random.random() < how["irony"]), how["weights"]
    if how["simulate"]:
        audio, loudness, times = voice.sequence(pieces, who["voice"], felt, random)
        seconds = len(audio) / voice.PER_SECOND
    else:
        wave = speech.speak(text, who["voice"], felt, random)
        audio, loudness = speech.features(wave)
        seconds = len(wave) / speech.RATE
    vision = face.sequence(seconds, loudness, who["face"], shown, wry, random)
    parts = {
        "text": weights["text"] * (-said if wry else said),
        "audio": weights["audio"] * felt,
        "vision": weights["vision"] * shown,
        "noise": weights["noise"] * random.normal(),
    }
    label = round(float(np.clip(sum(parts.values()), LOW, HIGH)), 3)
    parts = {k: round(float(v), 4) for k, v in parts.items()} | {"rating": rating, "wry": wry}
    if how["simulate"]:
        # Seconds at which each word begins and ends, in the order of the text.
        parts["said"] = [[round(float(t), 3) for t in pair] for pair in times]
    if how["turn"]:
        # The word that counts, and its number among the words.
        parts["word"], parts["at"] = pieces[1], len(re.findall("[a-z]+", pieces[0].lower()))
    audio, vision = audio[:: how["thin"]], vision[:: how["thin"]]
    return {"id": name, "text": text[0].upper() + text[1:], "label": label}, audio, vision, parts


def make(sizes, seed, irony=0.0, missing=0.0, turn=False, simulate=False, thin=1, weights=WEIGHTS):
    """The description of the data set, its tensors, and how each label came about."""
    sentences = Sentences(np.random.default_rng([seed, 99]))
    how = {"seed": seed, "sizes": sizes, "irony": irony, "missing": missing, "weights": weights}
    how |= {"turn": turn, "simulate": simulate, "thin": thin}
    speaker = voice.person if simulate else speech.speaker
    made = {}
    for number, (split, size) in enumerate(zip(PERSONS, sizes)):
        draw = np.random.default_rng([seed, number])
        # Nobody is in two splits.
        persons = [{"voice": speaker(draw), "face": face.person(draw)} for _ in range(PERSONS[split])]
        begun = time.time()
        made[split] = []
        for i in range(size):
            # A generator a clip: what clip 7 says and shows does not depend on how many there are.
            random = np.random.default_rng([seed, number, i])
            made[split].append(make_clip(f"{split}_{i:04}", sentences, persons, split == "train", how, random))
        print(f"{split}: {size} clips in {time.time() - begun:.0f} s", file=sys.stderr)

    blocks = {"audio": [], "vision": []}
    first = {"audio": 0, "vision": 0}
    dropped = {int(i): ("audio", "vision")[n % 2] for n, i in enumerate(
        np.random.default_rng([seed, 98]).permutation(sizes[2])[: round(missing * sizes[2])]
    )}
    splits, parts = {}, {}
    for split, clips in made.items():
        splits[split] = []
        for i, (clip, audio, vision, part) in enumerate(clips):
            gone = dropped.get(i) if split == "test" else None
            for key, rows in (("audio", audio), ("vision", vision)):
                rows = rows[:0] if key == gone else rows
                clip[key] = [first[key], len(rows)]
                first[key] += len(rows)
                blocks[key].append(rows)
            splits[split].append(clip)
            parts[clip["id"]] = part | ({"missing": gone} if gone else {})
    tensors, scales = {}, {}
    for key, rows in blocks.items():
        # Columns of decibel and of radians on one scale: that of the training clips.
        training = np.concatenate(rows[: sizes[0]])
        mean, deviation = training.mean(0), np.maximum(training.std(0), 1e-3)
        tensors[key] = ((np.concatenate(rows) - mean) / deviation).astype(np.float32)
        scales[key] = {"mean": mean.round(6).tolist(), "deviation": deviation.round(6).tolist()}
    description = {
        "format": "foveal-sentiment",
        "version": 1,
        "name": "synthetic-labels" + (" turn" if turn else "") + (f" irony {irony}" if irony else ""),
        "label_range": [LOW, HIGH],
        "audio_width": voice.WIDTH if simulate else speech.WIDTH,
        "vision_width": face.WIDTH,
        "splits": splits,
    }
    return description, tensors, how | {"scales": scales, "parts": parts}


def write(description, tensors, how, folder):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "features.safetensors")
    # A clip a line.
    text = json.dumps(description, ensure_ascii=False).replace('{"id"', '\n{"id"')
    (folder / "dataset.json").write_text(text + "\n", encoding="utf-8")
    text = json.dumps(how).replace('"train_', '\n"train_').replace('"valid_', '\n"valid_').replace('"test_', '\n"test_')
    (folder / "how.json").write_text(text + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", type=int, nargs=3, default=[600, 150, 250], metavar=("TRAIN", "VALID", "TEST"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--irony", type=float, default=0.0, help="share of clips whose face reverses the words")
    parser.add_argument("--turn", action="store_true", help="three rated words; that at which the voice turns counts")
    parser.add_argument("--simulate", action="store_true", help="a voice in numbers (voice.py), nothing spoken")
    parser.add_argument("--thin", type=int, default=1, metavar="N", help="keep every N-th row of audio and vision")
    parser.add_argument("--weights", type=float, nargs=4, default=list(WEIGHTS.values()), metavar=tuple(WEIGHTS))
    parser.add_argument("--missing", type=float, default=0.06, help="share of test clips without audio or vision")
    arguments = parser.parse_args()
    if arguments.turn and not arguments.simulate:
        parser.error("--turn wants --simulate: only the simulated voice turns at a word")
    if arguments.thin < 1:
        parser.error(f"--thin {arguments.thin}: every first row, or fewer")
    asked = {k: v for k, v in vars(arguments).items() if k != "out"}
    asked["weights"] = dict(zip(WEIGHTS, arguments.weights))
    description, tensors, how = make(**asked)
    write(description, tensors, how, arguments.out)
    lengths = {k: [c[k][1] for s in description["splits"].values() for c in s if c[k][1]] for k in tensors}
    for key, rows in lengths.items():
        print(f"{key}: {min(rows)} to {max(rows)} rows, {np.mean(rows):.0f} on average, {tensors[key].shape[1]} wide")


if __name__ == "__main__":
    main()
