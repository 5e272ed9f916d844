"""Writes prompts.json: 48 evaluation prompts (all pairs held out of training) and 16 separate tuning prompts.

Every entry asks for a timing of its target object by a curve, one value per frame. The caption itself says nothing
about time. The first 16 of each list are drawn at random: curves of zeros and ones, and a second object is static, its
curve all ones. The other 32 for evaluation are eight each of onsets, windows, two objects with a curve each, and curves
with values between 0 and 1. Their prompts are neither among the first 16 nor among the tuning prompts, and a value is
never 0.5, so that every frame is wanted or not.
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

ONSETS = [[0] * n + [1] * (8 - n) for n in (2, 3, 4, 5, 6, 4, 3, 5)]
WINDOWS = [[0] * a + [1] * (b - a) + [0] * (8 - b) for a, b in ((1, 4), (2, 5), (3, 6), (4, 7), (1, 6), (2, 7), (2, 6), (3, 7))]
# The target's curve and the other object's: handed over, overlapping, apart, one inside the other.
DUETS = [
    ([1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]),
    ([0, 0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0, 0]),
    ([0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0]),
    ([1, 1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1]),
    ([1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 1, 1]),
    ([0, 0, 0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0, 0]),
    ([0, 0, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 0, 0]),
    ([0, 0, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1]),
]
FRACTIONS = [
    [0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1],
    [1, 1, 0.8, 0.6, 0.4, 0.2, 0, 0],
    [0, 0.3, 0.7, 1, 1, 0.7, 0.3, 0],
    [0.2, 0.2, 0.2, 0.2, 1, 1, 1, 1],
    [0.8, 0.8, 0.8, 0.8, 0, 0, 0, 0],
    [0, 0, 0.25, 0.75, 1, 0.75, 0.25, 0],
    [0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1],
    [1, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1, 0],
]


def entry(objects, curve, seed: int, template: str | None = None, other_curve=None) -> dict:
    name, values = curve
    template = template or " and ".join(f"a {{{i}}}" for i in range(len(objects)))
    prompt = template.format(*(data.phrase(o) for o in objects))
    still = other_curve or [1] * data.FRAMES
    controls = [{"phrase": data.phrase(objects[0]), "colour": objects[0][0], "shape": objects[0][1], "curve": values}]
    for other in objects[1:]:
        controls.append({"phrase": data.phrase(other), "colour": other[0], "shape": other[1], "curve": still})
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


def more(first_seed: int) -> list[dict]:
    """32 prompts for evaluation: each single object and 20 times a held-out pair, in other words than the first 16."""
    singles = ([data.OBJECTS[(5 * i) % 12]] for i in range(12))  # neighbours differ in colour and shape
    pairs = (list(data.HELD_OUT_PAIRS[(i + 3) % 12])[:: 1 if i % 2 else -1] for i in range(20))
    wording = {1: ("a moving {0}", "a {0} on a black background"), 2: ("a {0} with a {1}", "a {0} and a {1} moving", "{0} and {1} on black")}
    result = []

    def add(kind, curve, things, other_curve=None):
        known = {e["prompt"] for e in result}
        said = lambda template: template.format(*(data.phrase(o) for o in things))
        turned = wording[len(things)][len(result) // 2 % 2 :] + wording[len(things)]
        template = next(t for t in turned if said(t) not in known)
        result.append(entry(things, (kind, curve), first_seed + len(result), template, other_curve))

    for kind, curves in (("fresh onset", ONSETS), ("fresh window", WINDOWS), ("fraction", FRACTIONS)):
        for i, curve in enumerate(curves):
            add(kind, curve, next(singles) if i % 2 == 0 else next(pairs))
    for target, other in DUETS:
        add("two objects", target, next(pairs), other)
    return result


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
    fresh = more(6000)
    known = {e["prompt"] for e in result["evaluation"] + result["tuning"]}
    assert not known & {e["prompt"] for e in fresh} and len({e["prompt"] for e in fresh}) == len(fresh) == 32
    assert not any(0.5 in o["curve"] for e in fresh for o in e["objects"])
    result["evaluation"] += fresh
    text = json.dumps(result, indent=1)
    for values in {json.dumps(o["curve"]) for k in ("evaluation", "tuning") for e in result[k] for o in e["objects"]}:
        spread = json.dumps(json.loads(values), indent=1)
        for depth in range(1, 8):
            text = text.replace(spread.replace("\n", "\n" + " " * depth), values)
    Path(__file__).with_name("prompts.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
