"""Synthetic captioned clips: coloured shapes that drift on black and are visible for part of the clip.

Every clip holds one or two objects. An object is a colour and a shape, moves in a straight line, and is
visible during one interval of frames that is drawn at random. The caption names the objects and *never*
says when they are visible, so a model trained on these clips has to invent the timing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FRAMES = 8
HEIGHT = 16
WIDTH = 16
FPS = 4
SIZE = 6  # every shape fits a 6x6 box
GRID = 2  # objects sit on even pixels, the corners of the model's 2x2 patches
BACKGROUND = (0.0, 0.0, 0.0)

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (1.0, 0.1, 0.1),
    "green": (0.1, 0.85, 0.1),
    "blue": (0.15, 0.3, 1.0),
    "yellow": (1.0, 0.9, 0.1),
}

_RING = """
.####.
##..##
#....#
#....#
##..##
.####.
"""
_CROSS = """
..##..
..##..
######
######
..##..
..##..
"""


def _mask(art: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in art.split()], dtype=bool)


SHAPES: dict[str, np.ndarray] = {
    "square": np.ones((SIZE, SIZE), dtype=bool),
    "ring": _mask(_RING),
    "cross": _mask(_CROSS),
}

OBJECTS: list[tuple[str, str]] = [(colour, shape) for colour in PALETTE for shape in SHAPES]

SINGLE_TEMPLATES = (
    "a {0}",
    "{0}",
    "a {0} moving",
    "a moving {0}",
    "a {0} on a black background",
    "{0} on black",
)
PAIR_TEMPLATES = (
    "a {0} and a {1}",
    "{0} and {1}",
    "a {0} and a {1} moving",
    "a {0} with a {1}",
    "a {0} and a {1} on a black background",
    "{0} and {1} on black",
)


def _all_pairs() -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Unordered pairs of objects of different colours."""
    pairs = []
    for i, first in enumerate(OBJECTS):
        for second in OBJECTS[i + 1 :]:
            if first[0] != second[0]:
                pairs.append((first, second))
    return pairs


def split_pairs() -> tuple[list, list]:
    """The fixed split of the 54 pairs into 42 for training and 12 held out, none of them a training caption."""
    pairs = _all_pairs()
    order = np.random.default_rng(20240501).permutation(len(pairs))
    held_out = sorted(int(i) for i in order[:12])
    return [p for i, p in enumerate(pairs) if i not in held_out], [pairs[i] for i in held_out]


TRAIN_PAIRS, HELD_OUT_PAIRS = split_pairs()


@dataclass
class Placed:
    """One object of a clip: what it is, where it is in each frame (row, column) and when it is visible."""

    colour: str
    shape: str
    path: np.ndarray  # (frames, 2) int
    visible: np.ndarray  # (frames,) bool


def random_interval(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Whole clip (15 %), onset (25 %), offset (25 %) or window (35 %); an object is on in at least 2 frames."""
    visible = np.zeros(frames, dtype=bool)
    kind = rng.random()
    if kind < 0.15:
        visible[:] = True
    elif kind < 0.40:
        visible[rng.integers(1, frames - 1) :] = True
    elif kind < 0.65:
        visible[: rng.integers(2, frames)] = True
    else:
        length = int(rng.integers(2, frames - 1))
        start = int(rng.integers(0, frames - length + 1))
        visible[start : start + length] = True
    return visible


def random_paths(rng: np.random.Generator, objects: int, frames: int, grid: int) -> list[np.ndarray]:
    """Slow straight lines, rounded to the grid, inside the picture and with empty pixels between two objects."""
    limit = np.array([HEIGHT - SIZE, WIDTH - SIZE])
    while True:  # many candidates at once, of which the first valid one counts
        shape = (64, objects, 1, 2)
        speed = rng.choice([-0.75, -0.5, -0.25, 0.0, 0.0, 0.25, 0.5, 0.75], size=shape)
        start = rng.uniform(0, limit, size=shape)
        line = start + speed * np.arange(frames)[:, None]
        paths = np.rint(line / grid).astype(int) * grid
        valid = ((paths >= 0) & (paths <= limit)).all((1, 2, 3))
        if objects == 2:
            valid &= (np.abs(paths[:, 0] - paths[:, 1]).max(-1) > SIZE).all(-1)
        if valid.any():
            return list(paths[valid.argmax()])


def random_scene(rng: np.random.Generator, objects, frames: int = FRAMES, grid: int = GRID) -> list[Placed]:
    paths = random_paths(rng, len(objects), frames, grid)
    return [Placed(c, s, path, random_interval(rng, frames)) for (c, s), path in zip(objects, paths)]


def render(scene: list[Placed], frames: int = FRAMES) -> np.ndarray:
    """Draws a scene as (3, frames, height, width) in [-1, 1]."""
    clip = np.empty((3, frames, HEIGHT, WIDTH), dtype=np.float32)
    clip[:] = (np.array(BACKGROUND, dtype=np.float32) * 2 - 1)[:, None, None, None]
    for item in scene:
        rgb = np.array(PALETTE[item.colour], dtype=np.float32) * 2 - 1
        shape = SHAPES[item.shape]
        for frame in np.flatnonzero(item.visible):
            row, column = item.path[frame]
            clip[:, frame, row : row + SIZE, column : column + SIZE][:, shape] = rgb[:, None]
    return clip


def phrase(item: tuple[str, str]) -> str:
    return f"{item[0]} {item[1]}"


def random_caption(rng: np.random.Generator, objects) -> str:
    templates = SINGLE_TEMPLATES if len(objects) == 1 else PAIR_TEMPLATES
    return templates[rng.integers(len(templates))].format(*(phrase(o) for o in objects))


def random_objects(rng: np.random.Generator) -> list[tuple[str, str]]:
    """One object (35 %) or a training pair in either order (65 %)."""
    if rng.random() < 0.35:
        return [OBJECTS[rng.integers(len(OBJECTS))]]
    pair = list(TRAIN_PAIRS[rng.integers(len(TRAIN_PAIRS))])
    return pair[::-1] if rng.random() < 0.5 else pair


def clip_batch(rng: np.random.Generator, size: int, grid: int = GRID) -> tuple[np.ndarray, list[str]]:
    """`size` training clips and captions."""
    clips, captions = [], []
    for _ in range(size):
        objects = random_objects(rng)
        clips.append(render(random_scene(rng, objects, grid=grid)))
        captions.append(random_caption(rng, objects))
    return np.stack(clips), captions


def still_batch(rng: np.random.Generator, size: int, grid: int = GRID) -> tuple[np.ndarray, list[str]]:
    """`size` one-frame clips with every object visible: the cheap first stage of training."""
    clips, captions = [], []
    for _ in range(size):
        objects = random_objects(rng)
        clips.append(render(_still_scene(rng, objects, grid), frames=1))
        captions.append(random_caption(rng, objects))
    return np.stack(clips), captions


def _still_scene(rng: np.random.Generator, objects, grid: int) -> list[Placed]:
    paths = random_paths(rng, len(objects), 1, grid)
    return [Placed(c, s, path, np.ones(1, dtype=bool)) for (c, s), path in zip(objects, paths)]


def vocabulary() -> list[str]:
    """Every word that a caption can hold."""
    words = {word for o in OBJECTS for word in o}
    for template in SINGLE_TEMPLATES + PAIR_TEMPLATES:
        words.update(word for word in template.split() if "{" not in word)
    return sorted(words)
