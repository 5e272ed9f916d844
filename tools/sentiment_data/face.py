"""A face in numbers, as a tracker such as OpenFace gives them: 17 action units (0 … 5), 6 of head pose, 2 of gaze.

Simulated at 30 rows a second and kept at 10. There is no picture: the rows are what a tracker would say of one.
"""

import numpy as np

UNITS = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45]
WIDTH = len(UNITS) + 8
SIMULATED, KEPT = 30, 10
# What moves with pleasure and displeasure, and how strongly.
PLEASED = {12: 1.0, 6: 0.8, 25: 0.2}
DISPLEASED = {4: 0.9, 15: 0.8, 17: 0.5, 1: 0.3}
# Said with this face, words mean their opposite (only with --irony).
WRY = {14: 1.0, 2: 0.8}


def person(random):
    return {
        "rest": np.abs(random.normal(0, 0.25, len(UNITS))),
        "expressive": random.uniform(0.8, 1.2),
        "pose": random.normal(0, [20, 20, 60, 0.1, 0.1, 0.05]),
        "blinks": random.uniform(0.15, 0.5),
    }


def wander(random, rows, step, columns=1):
    """A walk that is pulled back to 0, deviation `step` in the long run and memory of about half a second."""
    pull = 1 - 1 / (0.5 * SIMULATED)
    noise = random.normal(0, step * np.sqrt(1 - pull**2), (rows, columns))
    walk = np.empty((rows, columns))
    walk[0] = random.normal(0, step, columns)
    for i in range(1, rows):
        walk[i] = pull * walk[i - 1] + noise[i]
    return walk


def bump(time, start, rise, hold, fall):
    """0, up in `rise` seconds, 1 for `hold`, and down again."""
    return np.minimum((time - start) / rise, (start + rise + hold + fall - time) / fall).clip(0, 1)


def sequence(seconds, loudness, who, valence, wry, random):
    """(rows, 25) for a clip of `seconds`. `valence`, around -2 … 2, is shown for part of the clip only.

    `loudness` (any number of rows over the same time) opens the mouth.
    """
    rows = max(KEPT, round(seconds * SIMULATED))
    time = np.arange(rows) / SIMULATED
    units = who["rest"] + wander(random, rows, 0.15, len(UNITS))
    column = {unit: i for i, unit in enumerate(UNITS)}

    def show(moved, strength):
        length = seconds * random.uniform(0.4, 0.8)
        course = bump(time, random.uniform(0, seconds - length), 0.25, max(0.1, length - 0.55), 0.3)
        for unit, share in moved.items():
            units[:, column[unit]] += who["expressive"] * strength * share * course * random.uniform(0.8, 1.2)

    show(PLEASED if valence > 0 else DISPLEASED, 1.3 * abs(valence))
    if wry:
        show(WRY, 2.5)
    # Something that means nothing: a raised lid, a tight lip, a wrinkled nose.
    show({int(random.choice([5, 7, 9, 10, 20, 23])): 1.0}, random.uniform(0, 2))
    heard = np.interp(np.linspace(0, 1, rows), np.linspace(0, 1, len(loudness)), loudness)
    units[:, column[25]] += 2 * heard
    units[:, column[26]] += 1.5 * heard
    for start in np.cumsum(random.exponential(1 / who["blinks"], 20)):
        units[:, column[45]] += 4 * bump(time, start, 0.08, 0.04, 0.1)
    pose = who["pose"] + wander(random, rows, 1.0, 6) * [8, 8, 15, 0.08, 0.1, 0.05]
    gaze = wander(random, rows, 0.12, 2)
    return np.concatenate([units.clip(0, 5), pose, gaze], -1)[:: SIMULATED // KEPT]
