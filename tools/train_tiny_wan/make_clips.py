"""Writes real clips for the tests of the detector: real_clips.png, a row a clip, and real_clips.json, what they show.

They come from the renderer that drew the training data: each single object and each held-out pair once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

import data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "examples/support/shared/fixtures")
    out = parser.parse_args().out
    rng = np.random.default_rng(48)
    rows, notes = [], []
    for objects in [[o] for o in data.OBJECTS] + [list(p) for p in data.HELD_OUT_PAIRS]:
        scene = data.random_scene(rng, objects)
        clip = np.rint((data.render(scene) + 1) * 127.5).astype(np.uint8)  # (3, frames, height, width)
        rows.append(np.concatenate(list(np.moveaxis(clip, 0, -1)), axis=1))
        notes.append([{"phrase": f"{item.colour} {item.shape}", "visible": item.visible.tolist()} for item in scene])
    out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows, axis=0)).save(out / "real_clips.png", optimize=True)
    lines = ",\n ".join(json.dumps(note) for note in notes)
    (out / "real_clips.json").write_text(f"[\n {lines}\n]\n")


if __name__ == "__main__":
    main()
