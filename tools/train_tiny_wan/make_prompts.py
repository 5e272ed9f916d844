"""Writes prompts.json: 16 evaluation prompts (all pairs held out of training) and 16 separate tuning prompts.

Every entry asks for a timing of its target object by a curve of zeros and ones, one value per frame. The caption
itself says nothing about time. In a two-object prompt the second object is static: its curve is all ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import data

CURVES = (
    ("onset", [0, 0, 0, 0, 1, 1, 1, 1]),
    ("offset", [1, 1, 1, 1, 0, 0, 0, 0]),
    ("window", [0, 0, 1, 1, 1, 1, 0, 0]),
    ("late onset", [0, 0, 0, 0, 0, 1, 1, 1]),
    ("early offset", [1, 1, 1, 0, 0, 0, 0, 0]),
    ("early window", [0, 1, 1, 1, 1, 0, 0, 0]),
    ("early onset", [0, 0, 0, 1, 1, 1, 1, 1]),
    ("late window", [0, 0, 0, 1, 1, 1, 1, 0]),
)


def entry(objects, curve, seed: int) -> dict:
    name, values = curve
    prompt = " and ".join(f"a {data.phrase(o)}" for o in objects)
    controls = [{"phrase": data.phrase(objects[0]), "colour": objects[0][0], "shape": objects[0][1], "curve": values}]
    for other in objects[1:]:
        controls.append({"phrase": data.phrase(other), "colour": other[0], "shape": other[1], "curve": [1] * data.FRAMES})
    return {
        "prompt": prompt,
        "seed": seed,
        "kind": name,
        "target": data.phrase(objects[0]),
        "target_words": list(objects[0]),
        "curve": values,
        "objects": controls,
    }


def build(rng: np.random.Generator, singles, pairs, first_seed: int) -> list[dict]:
    prompts = [[o] for o in singles] + [list(p) if rng.random() < 0.5 else list(p)[::-1] for p in pairs]
    return [entry(objects, CURVES[i % len(CURVES)], first_seed + i) for i, objects in enumerate(prompts)]


def main() -> None:
    rng = np.random.default_rng(7)
    singles = [data.OBJECTS[i] for i in rng.permutation(len(data.OBJECTS))[:8]]
    tuning_pairs = [data.TRAIN_PAIRS[i] for i in rng.permutation(len(data.TRAIN_PAIRS))[:12]]
    result = {
        "frames": data.FRAMES,
        "note": "Pairs under 'evaluation' name no training caption; single objects are all seen in training.",
        "evaluation": build(rng, singles[:4], data.HELD_OUT_PAIRS, 5000),
        "tuning": build(rng, singles[4:], tuning_pairs, 9000),
    }
    text = json.dumps(result, indent=1)
    for values in {json.dumps(e["curve"]) for k in ("evaluation", "tuning") for e in result[k]} | {json.dumps([1] * data.FRAMES)}:
        spread = json.dumps(json.loads(values), indent=1)
        for depth in range(1, 8):
            text = text.replace(spread.replace("\n", "\n" + " " * depth), values)
    Path(__file__).with_name("prompts.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
