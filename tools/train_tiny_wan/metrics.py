"""A strict detector for generated clips, tested against real clips and deliberate cheats (`python metrics.py`).

A pixel is background when it is dark, has a colour when it is close to that palette entry, and is stray otherwise.
Pixels of a colour that touch, by a side or a corner, are a piece; pieces of fewer than 4 pixels are specks. An object is
*present* in a frame when its colour is one piece of the size of one shape, specks left out, and at least 60 % of the frame
is background. A frame is *clean* when at least 60 % of it is background and at most 5 % of it is stray or of a colour that
was not asked for. The shape of a piece is the rendered shape that overlaps it best over all positions.

A piece has the size of one shape when it is at most a third larger than the shape, at most 2 pixels longer in either
direction, and at least half as large, or cut by the edge of the frame. The shape is the one asked for, or another that
overlaps the piece by three quarters. The same rule as `examples/support/shared/detector.rs`, which knows several objects
of one colour too; here the objects of a prompt have different ones.
"""

from __future__ import annotations

import numpy as np

import data

LEAST = 4  # pixels of a colour, and of a piece: one patch of the model
MIN_BACKGROUND = 0.60
MAX_STRAY = 0.05
DARK = 0.30
COLOUR_DISTANCE = 0.40  # a colour at half strength is 0.43 or more away and must not pass
GOOD_OVERLAP = 0.75  # half a cross (one bar) overlaps a cross by 0.6 and must not pass; a square stretched by a step does

_NAMES = list(data.PALETTE)
_COLOURS = np.array([data.PALETTE[name] for name in _NAMES])


def _template_bank() -> dict[str, np.ndarray]:
    bank = {}
    for name, mask in data.SHAPES.items():
        placed = []
        for row in range(data.HEIGHT - data.SIZE + 1):
            for column in range(data.WIDTH - data.SIZE + 1):
                canvas = np.zeros((data.HEIGHT, data.WIDTH), dtype=bool)
                canvas[row : row + data.SIZE, column : column + data.SIZE] = mask
                placed.append(canvas.ravel())
        bank[name] = np.array(placed)
    return bank


_BANK = _template_bank()


def label_pixels(clip: np.ndarray) -> np.ndarray:
    """(3, frames, h, w) in [-1, 1] -> (frames, h, w): -1 background, -2 stray, otherwise the palette index."""
    rgb = np.moveaxis(np.clip((clip + 1) / 2, 0, 1), 0, -1)
    distance = np.linalg.norm(rgb[..., None, :] - _COLOURS, axis=-1)
    labels = np.where(distance.min(-1) <= COLOUR_DISTANCE, distance.argmin(-1), -2)
    return np.where(rgb.max(-1) <= DARK, -1, labels)


def best_shape(mask: np.ndarray) -> tuple[str, float]:
    """The shape with the largest intersection over union with a pixel mask, and that overlap."""
    flat = mask.ravel()
    scores = {n: ((b & flat).sum(1) / np.maximum((b | flat).sum(1), 1)).max() for n, b in _BANK.items()}
    name = max(scores, key=scores.get)
    return name, float(scores[name])


def pieces(mask: np.ndarray) -> list[np.ndarray]:
    """The connected parts of a pixel mask, neighbours by side or corner, as masks; specks are left out."""
    left, found = mask.copy(), []
    while left.any():
        piece = np.zeros_like(mask)
        piece[np.unravel_index(left.argmax(), left.shape)] = True
        while True:  # grow into what is left until nothing is added
            padded = np.pad(piece, 1)
            rows, columns = mask.shape
            near = np.any([padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0) & left
            if (near == piece).all():
                break
            piece = near
        left &= ~piece
        if piece.sum() >= LEAST:
            found.append(piece)
    return found


def fits(piece: np.ndarray, shape: str) -> bool:
    """Has the piece the size of one shape, where this one was asked for."""
    best, overlap = best_shape(piece)
    whole = int(data.SHAPES[best if overlap >= GOOD_OVERLAP else shape].sum())
    rows, columns = np.flatnonzero(piece.any(1)), np.flatnonzero(piece.any(0))
    if max(np.ptp(rows), np.ptp(columns)) + 1 > data.SIZE + data.GRID or 3 * piece.sum() > 4 * whole:
        return False
    at_edge = piece[0].any() or piece[-1].any() or piece[:, 0].any() or piece[:, -1].any()
    return bool(at_edge or 2 * piece.sum() >= whole)


def sightings(clip: np.ndarray, colour: str, shape: str) -> tuple[np.ndarray, np.ndarray]:
    """(frames,) bool each: is something of the object there, and is it present, by the strict rule."""
    labels = label_pixels(clip)
    masks = labels == _NAMES.index(colour)
    parts = [pieces(mask) for mask in masks]
    one = np.array([len(p) == 1 and fits(p[0], shape) for p in parts])
    return masks.sum((1, 2)) >= LEAST, one & ((labels == -1).mean((1, 2)) >= MIN_BACKGROUND)


def clean_frames(clip: np.ndarray, colours: list[str]) -> np.ndarray:
    labels = label_pixels(clip)
    wanted = np.isin(labels, [-1] + [_NAMES.index(c) for c in colours])
    return ((labels == -1).mean((1, 2)) >= MIN_BACKGROUND) & ((~wanted).mean((1, 2)) <= MAX_STRAY)


def score(clip: np.ndarray, objects: list[tuple[str, str]]) -> dict[str, float]:
    """Measures one clip against the objects of its prompt."""
    labels = label_pixels(clip)
    clean = clean_frames(clip, [colour for colour, _ in objects])
    on, right, overlap, transitions, found, once = [], [], [], [], [], []
    for colour, shape in objects:
        seen, here = sightings(clip, colour, shape)
        once += list(here[seen])
        on.append(here.mean())
        transitions.append(int((here[1:] != here[:-1]).sum()))
        guesses = [best_shape(pieces(labels[f] == _NAMES.index(colour))[0]) for f in np.flatnonzero(here)]
        right += [name == shape for name, _ in guesses]
        overlap += [value for _, value in guesses]
        # An object counts as found if it is there in two frames or more and most of those show its shape.
        found.append(len(guesses) >= 2 and np.mean([n == shape and v >= GOOD_OVERLAP for n, v in guesses]) > 0.5)
    return {
        "clean": float(clean.mean()),
        "all_colours": float(all(value > 0 for value in on)),
        "objects_found": float(np.mean(found)),
        "all_found": float(all(found)),
        "one_object": float(np.mean(once)) if once else 0.0,
        "shape_right": float(np.mean(right)) if right else 0.0,
        "overlap": float(np.mean(overlap)) if overlap else 0.0,
        "frames_on": float(np.mean(on)),
        "one_interval": float(all(t <= 2 for t in transitions)),
    }


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]}


def self_test() -> None:
    rng = np.random.default_rng(1)
    sets = {"one": [[o] for o in data.OBJECTS] * 8, "two": [list(p) for p in data.HELD_OUT_PAIRS] * 8}
    for name, prompts in sets.items():
        clips = [data.render(data.random_scene(rng, o)) for o in prompts]
        print(name, "real         ", summary([score(c, o) for c, o in zip(clips, prompts)]))
        noisy = [c + rng.normal(0, 0.15, c.shape) for c in clips]
        print(name, "real, noise  ", summary([score(c, o) for c, o in zip(noisy, prompts)]))
        full = []
        for objects in prompts:
            clip = np.empty_like(clips[0])
            clip[:] = (np.array(data.PALETTE[objects[0][0]]) * 2 - 1)[:, None, None, None]
            full.append(clip)
        print(name, "full frame   ", summary([score(c, o) for c, o in zip(full, prompts)]))
        empty = [np.full_like(clips[0], -1.0) for _ in prompts]
        print(name, "empty        ", summary([score(c, o) for c, o in zip(empty, prompts)]))
        other = clips[1:] + clips[:1]
        print(name, "wrong clip   ", summary([score(c, o) for c, o in zip(other, prompts)]))
        static = [rng.uniform(-1, 1, clips[0].shape) for _ in prompts]
        print(name, "noise        ", summary([score(c, o) for c, o in zip(static, prompts)]))
        halves = [c.copy() for c in clips]
        for half, objects in zip(halves, prompts):
            for colour, _ in objects:
                mine = label_pixels(half) == _NAMES.index(colour)
                for frame in np.flatnonzero(mine.any((1, 2))):
                    rows = np.flatnonzero(mine[frame].any(1))
                    half[:, frame, rows[len(rows) // 2 :]] = np.where(
                        mine[frame, rows[len(rows) // 2 :]], -1.0, half[:, frame, rows[len(rows) // 2 :]]
                    )
        print(name, "upper halves ", summary([score(c, o) for c, o in zip(halves, prompts)]))
        bars = [[c, o] for c, o in zip([c.copy() for c in clips], prompts) if any(s == "cross" for _, s in o)]
        for clip, objects in bars:
            for colour, shape in objects:
                mine = label_pixels(clip) == _NAMES.index(colour)
                for frame in np.flatnonzero(mine.any((1, 2))):
                    if shape == "cross":  # keep the horizontal bar only
                        rows = np.flatnonzero(mine[frame].any(1))
                        for row in (*rows[:2], *rows[4:]):
                            clip[:, frame, row, mine[frame, row]] = -1.0
        print(name, "crosses->bars", summary([score(c, o) for c, o in bars]))
        twice = []
        for clip in clips:  # over itself, half a frame aside
            aside = np.roll(clip, data.WIDTH // 2, axis=-1)
            twice.append(np.where((clip > -1).any(0), clip, aside))
        print(name, "drawn twice  ", summary([score(c, o) for c, o in zip(twice, prompts)]))
        blobs = []
        for objects in prompts:
            clip = np.full_like(clips[0], -1.0)
            for i, (colour, _) in enumerate(objects):
                blob = rng.random((8, 8)) < 0.5
                clip[:, :, 4:12, 8 * i : 8 * i + 8][:, :, blob] = (np.array(data.PALETTE[colour]) * 2 - 1)[:, None, None]
            blobs.append(clip)
        print(name, "speckle blobs", summary([score(c, o) for c, o in zip(blobs, prompts)]))


if __name__ == "__main__":
    self_test()
