"""Makes a folder of spoken sentences with a list of what is said, for `sentiment features`, with synthetic labels.

    python sounds.py OUT [--sizes 240 60 100] [--seed 0]

As make.py's clips, without a face: label = 0.9 words + 0.9 voice + 0.2 noise, clipped to [-3, 3].
"""

import argparse
import csv
import wave
from pathlib import Path

import numpy as np
import speech
from make import HIGH, LOW, PERSONS, RATING_SCALE
from words import Sentences

WORDS, VOICE, NOISE = 0.9, 0.9, 0.2


def write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(speech.RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", type=int, nargs=3, default=[240, 60, 100], metavar=("TRAIN", "VALID", "TEST"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sentences = Sentences(np.random.default_rng([arguments.seed, 99]))
    with open(arguments.out / "clips.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "label", "split"])
        for number, (split, size) in enumerate(zip(PERSONS, arguments.sizes)):
            draw = np.random.default_rng([arguments.seed, number])
            # Nobody is in two splits.
            persons = [speech.speaker(draw) for _ in range(PERSONS[split])]
            for i in range(size):
                random = np.random.default_rng([arguments.seed, number, i])
                text, rating = sentences.draw(random, split == "train")
                felt = random.uniform(-(3**0.5), 3**0.5)
                samples = speech.speak(text, persons[random.integers(len(persons))], felt, random)
                label = np.clip(WORDS * rating / RATING_SCALE + VOICE * felt + NOISE * random.normal(), LOW, HIGH)
                write_wav(arguments.out / f"{split}_{i:04}.wav", samples)
                rows.writerow([f"{split}_{i:04}", text, round(float(label), 3), split])


if __name__ == "__main__":
    main()
