"""Draws the clips and asks the questions. No file is read: a clip is a function of its random numbers.

A clip is 8 seconds of 140x140 pixels. Two or three shapes of different colours appear one after the other on a smooth
textured background, each at a whole second, and stay, drifting slowly. A box stands on a grid of 7 pixels (a quarter of a
token) at the moment when its shape appears, so that boxes are not aligned with tokens but are few enough to be learnt by a
small model in minutes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

SIDE = 140
SECONDS = 8
GRID = 7
SIZES = (28, 35, 42, 49, 56)
COLOURS = {
    "red": (215, 45, 45),
    "green": (45, 170, 65),
    "blue": (50, 75, 220),
    "yellow": (235, 215, 55),
    "purple": (160, 60, 190),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle", "cross")
COLOUR_NAMES = tuple(COLOURS)
MAX_SPEED = 2.0  # pixels a second
PATCH, MERGE, TEMPORAL = 14, 2, 2
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


@dataclass(frozen=True)
class Thing:
    colour: int
    shape: int
    size: int
    x: int
    y: int
    onset: int
    speed: tuple[float, float]

    @property
    def word(self) -> str:
        return f"{COLOUR_NAMES[self.colour]} {SHAPES[self.shape]}"

    def box(self, time: float) -> tuple[int, int, int, int]:
        """Whole pixels; at its onset a thing stands on the grid."""
        passed = time - self.onset
        x, y = (round(float(v + s * passed)) for v, s in zip((self.x, self.y), self.speed))
        x, y = (min(max(v, 0), SIDE - self.size) for v in (x, y))
        return x, y, x + self.size, y + self.size


def _shape_mask(shape: str, size: int) -> np.ndarray:
    """Coverage of each pixel, by 4x4 samples. Every shape fills its box."""
    p = (np.arange(4 * size) + 0.5) / (2 * size) - 1
    y, x = p[:, None], p[None, :]
    inside = {
        "circle": x**2 + y**2 <= 1,
        "square": np.ones((4 * size, 4 * size), bool),
        "triangle": np.abs(x) <= (y + 1) / 2,
        "cross": (np.abs(x) <= 0.33) | (np.abs(y) <= 0.33),
    }[shape]
    return inside.reshape(size, 4, size, 4).mean(axis=(1, 3)).astype(np.float32)


MASKS = {(i, s): _shape_mask(name, s)[..., None] for i, name in enumerate(SHAPES) for s in SIZES}


def _boxes_apart(a: Thing, b: Thing, seconds: float) -> bool:
    """Whether there are 2 pixels between two things at all times: their paths are straight, so the ends tell enough."""
    for time in np.linspace(0, seconds, 5):
        (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.box(time), b.box(time)
        if ax1 < bx2 + 2 and bx1 < ax2 + 2 and ay1 < by2 + 2 and by1 < ay2 + 2:
            return False
    return True


def random_things(rng: np.random.Generator, seconds: int = SECONDS, least: int = 1, grid: int = GRID) -> list[Thing]:
    """Two or three things; in a clip of one second `least` to three that are there from the start."""
    while True:
        count = min(int(rng.integers(2, 4)), seconds - 1) if seconds > 1 else int(rng.integers(least, 4))
        colours = rng.permutation(len(COLOURS))[:count]
        onsets = rng.permutation(seconds - 1)[:count] if seconds > 1 else np.zeros(count, int)
        things: list[Thing] = []
        for _ in range(40):
            if len(things) == count:
                return things
            size = int(rng.choice(SIZES))
            x, y = (grid * int(v) for v in rng.integers(0, (SIDE - size) // grid + 1, 2))
            angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, MAX_SPEED)
            i = len(things)
            velocity = (speed * np.cos(angle), speed * np.sin(angle))
            thing = Thing(int(colours[i]), int(rng.integers(len(SHAPES))), size, x, y, int(onsets[i]), velocity)
            if all(_boxes_apart(thing, other, seconds) for other in things):
                things.append(thing)


# Linear interpolation from 5 to 140 points: what makes a background smooth.
_t = np.linspace(0, 4, SIDE)
UP = np.maximum(0, 1 - np.abs(_t[:, None] - np.arange(5)[None])).astype(np.float32)
_pool_rng = np.random.default_rng(20512)
NOISE = _pool_rng.standard_normal((512, 512, 3)).astype(np.float32)
# Coarser texture: the mean of 4x4 neighbours, brought back to unit variance.
TEXTURE = sum(np.roll(NOISE, (i, j), (0, 1)) for i in range(4) for j in range(4)) / 4


def crop(rng: np.random.Generator, pool: np.ndarray) -> np.ndarray:
    y, x = rng.integers(0, pool.shape[0] - SIDE, 2)
    return pool[y : y + SIDE, x : x + SIDE]


def random_background(rng: np.random.Generator) -> np.ndarray:
    """Smooth, textured, lit from above and from the left: a cue to where in the picture a patch is, as outdoors."""
    coarse = rng.uniform(60, 150, 3) + rng.normal(0, 14, (5, 5, 3))
    light = np.linspace(28, -28, 5)
    coarse += light[:, None, None] * (0.6, 0.8, 1.2) + light[None, :, None] * (1.0, 0.7, 0.3)
    smooth = np.einsum("yi,ijc,xj->yxc", UP, coarse.astype(np.float32), UP, optimize=True)
    return smooth + rng.uniform(2, 7) * crop(rng, TEXTURE).mean(axis=2, keepdims=True)


def random_look(rng: np.random.Generator, things: list[Thing]) -> list[np.ndarray]:
    """Each thing's own shade of its colour."""
    return [np.array(COLOURS[COLOUR_NAMES[t.colour]], np.float32) + rng.normal(0, 8, 3).astype(np.float32) for t in things]


def render(things, background, look, times) -> np.ndarray:
    """Frames (time, height, width, 3) in 0..255, float32."""
    frames = np.repeat(background[None], len(times), axis=0)
    for thing, colour in zip(things, look):
        mask = MASKS[thing.shape, thing.size]
        for frame, time in zip(frames, times):
            if time >= thing.onset:
                x1, y1, x2, y2 = thing.box(time)
                frame[y1:y2, x1:x2] += mask * (colour - frame[y1:y2, x1:x2])
    return frames


def like_a_camera(rng: np.random.Generator, frames: np.ndarray) -> np.ndarray:
    """Training's stand-in for a codec: coarse colour, sensor noise, a change of brightness and contrast, whole values."""
    if rng.random() < 0.5:
        grey = frames.mean(axis=3, keepdims=True)
        colour = (frames - grey).reshape(len(frames), SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(2, 4))
        frames = grey + colour.repeat(2, axis=1).repeat(2, axis=2)
    strength = rng.uniform(0, 5)
    gain, offset = rng.uniform(0.92, 1.08), rng.normal(0, 5)
    for frame in frames:
        frame *= gain
        frame += offset + strength * crop(rng, NOISE)
    return np.clip(np.round(frames), 0, 255)


def to_patches(frames: np.ndarray) -> np.ndarray:
    """Rows as the vision tower takes them: (groups, 100, 3*2*14*14), in the order of merged tokens."""
    n = SIDE // (PATCH * MERGE)
    x = (frames / 255 - MEAN) / STD
    x = x.reshape(-1, TEMPORAL, n, MERGE, PATCH, n, MERGE, PATCH, 3)
    x = x.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return np.ascontiguousarray(x, np.float32).reshape(len(x), n * n * MERGE**2, -1)


def token_targets(things: list[Thing], seconds: int) -> dict[str, np.ndarray]:
    """For the auxiliary losses: which thing each token shows most of, and what is known about that thing.

    `colour` and `shape` are 0 where a token shows none. `near` is the box at that time from the token's middle, in
    tokens; `box` the box at the onset in steps of the grid; `onset` the second; `eldest` and `newest` whether no other
    thing of the clip appeared before it, and none between it and the token's second.
    """
    n, cell = SIDE // 28, 28
    out = {
        "colour": np.zeros((seconds, n, n), np.int64),
        "shape": np.zeros((seconds, n, n), np.int64),
        "near": np.zeros((seconds, n, n, 4), np.float32),
        "box": np.zeros((seconds, n, n, 4), np.int64),
        "onset": np.zeros((seconds, n, n), np.int64),
        "eldest": np.zeros((seconds, n, n), np.int64),
        "newest": np.zeros((seconds, n, n), np.int64),
    }
    onsets = [thing.onset for thing in things]
    middle = (np.arange(n) + 0.5) * cell
    best = np.full((seconds, n, n), 60.0)  # pixels that a thing must cover
    for thing in things:
        for second in range(thing.onset, seconds):
            x1, y1, x2, y2 = thing.box(second + 0.25)
            canvas = np.zeros((SIDE, SIDE), np.float32)
            canvas[y1:y2, x1:x2] = MASKS[thing.shape, thing.size][..., 0]
            covered = canvas.reshape(n, cell, n, cell).sum(axis=(1, 3))
            where = covered > best[second]
            best[second][where] = covered[where]
            out["colour"][second][where] = 1 + thing.colour
            out["shape"][second][where] = 1 + thing.shape
            near = np.empty((n, n, 4), np.float32)
            near[..., 0::2] = (np.array([x1, x2]) - middle[None, :, None]) / cell
            near[..., 1::2] = (np.array([y1, y2]) - middle[:, None, None]) / cell
            out["near"][second][where] = near[where]
            out["box"][second][where] = np.array(thing.box(thing.onset)) // GRID
            out["onset"][second][where] = thing.onset
            out["eldest"][second][where] = thing.onset == min(onsets)
            out["newest"][second][where] = thing.onset == max(o for o in onsets if o <= second)
    return {key: value.reshape(seconds, n * n, *value.shape[3:]) for key, value in out.items()}


FIRST = ("Which object appears first, when and where?", "What appears first? Say when and where.")
LAST = ("Which object appears last, when and where?", "What appears last? Say when and where.")
COLOUR = ("When and where does the {} object appear?", "Where and when does something {} appear?")
SHAPE = ("When and where does the {} appear?",)
STILL = ("Where is the {} object?",)


def answer(thing: Thing) -> str:
    """Three lines. Numbers of a box have three digits, so that a digit's place says what it counts."""
    box = ",".join(f"{v:03d}" for v in thing.box(thing.onset))
    return f"{thing.word}\nTime: {thing.onset}s\nObject bbox: [{box}]"


def read_answer(text: str):
    """(word, seconds, box) of an answer; None for what is not there or not in that form."""
    word = text.split("\n", 1)[0].strip()
    time = re.search(r"\btime[ \t]*[:=][ \t]*([0-9]+(?:\.[0-9]*)?)", text, re.IGNORECASE)
    numbers = r"\s*,\s*".join([r"([0-9]+)"] * 4)
    label = r"(?:^|[;\n])[ \t]*object[ \t]*bbox[ \t]*[:=][ \t]*"
    box = re.search(rf"{label}\[\s*{numbers}\s*\]", text, re.IGNORECASE)
    return word, float(time[1]) if time else None, tuple(map(int, box.groups())) if box else None


def iou(a, b) -> float:
    """Of boxes by their corners; 0 for what is no box."""
    if a is None or a[2] <= a[0] or a[3] <= a[1]:
        return 0.0
    wide, high = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(wide, 0) * max(high, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def score(said, thing: Thing) -> tuple[float, ...]:
    """Word right, time within a second, IoU of at least a half, IoU, and the first three at once."""
    word, time, box = said
    overlap = iou(box, thing.box(thing.onset))
    parts = (word == thing.word, time is not None and abs(time - thing.onset) <= 1, overlap >= 0.5)
    return (*map(float, parts), overlap, float(all(parts)))


def possible_questions(things: list[Thing], seconds: int = SECONDS) -> list[tuple[str, tuple[str, ...], Thing]]:
    """Kind, wordings and the thing that is the answer."""
    if seconds == 1:
        return [("colour", tuple(w.format(COLOUR_NAMES[t.colour]) for w in STILL), t) for t in things]
    order = sorted(things, key=lambda t: t.onset)
    asked = [("first", FIRST, order[0]), ("last", LAST, order[-1])]
    for thing in things:
        asked.append(("colour", tuple(w.format(COLOUR_NAMES[thing.colour]) for w in COLOUR), thing))
        if sum(t.shape == thing.shape for t in things) == 1:
            asked.append(("shape", tuple(w.format(SHAPES[thing.shape]) for w in SHAPE), thing))
    return asked


def training_questions(rng: np.random.Generator, things: list[Thing], count: int, seconds: int) -> list[tuple[str, Thing]]:
    """`count` different questions where there are as many, the first two always about order."""
    asked = possible_questions(things, seconds)
    if seconds > 1:
        order = [0, 1, *(2 + rng.permutation(len(asked) - 2))]
    else:
        order = list(rng.permutation(len(asked)))
    order = (order * count)[:count]
    return [(str(rng.choice(asked[i][1])), asked[i][2]) for i in order]


def training_clip(
    rng: np.random.Generator, seconds: int, least: int = 1, grid: int = GRID
) -> tuple[np.ndarray, list[Thing]]:
    """Patches and things. Frames are half a second apart, as at 2 frames a second."""
    things = random_things(rng, seconds, least, grid)
    # The clocks of two common samplers: exactly every half second, or evenly from the first to the last frame.
    step = 0.5 if rng.random() < 0.5 else 0.5 * (1 + 1 / 19)
    times = np.arange(2 * seconds) * step
    frames = render(things, random_background(rng), random_look(rng, things), times)
    return to_patches(like_a_camera(rng, frames)), things


def stated_times(exact: bool, seconds: int = SECONDS, frames_per_second: int = 10) -> list[str]:
    """The times that prompts state: of each pair of frames the mean. `exact` is every half second; else the frames
    are spread evenly from the first to the last of the file, rounded to whole ones."""
    if exact:
        times = np.arange(2 * seconds) * 0.5
    else:
        times = np.round(np.linspace(0, seconds * frames_per_second - 1, 2 * seconds)) / frames_per_second
    return [f"<{t:.1f} seconds>" for t in times.reshape(-1, 2).mean(axis=1)]
