"""A voice in numbers, as an extractor gives them: loudness, pitch, voicing, tilt of the spectrum, its first two resonances,
flux, and the rate of zero crossings, 10 rows a second.

Simulated like the face: nothing is spoken. It costs no synthesiser, and the time of every word is known.
"""

import re

import numpy as np

WIDTH, PER_SECOND = 8, 10
LOUDNESS, PITCH, VOICING, TILT, FIRST, SECOND, FLUX, CROSSINGS = range(WIDTH)
# First and second resonance of a vowel, in kHz.
VOWELS = {"a": (0.75, 1.2), "e": (0.5, 1.9), "i": (0.3, 2.3), "o": (0.5, 0.9), "u": (0.35, 0.8), "y": (0.3, 2.1)}


def person(random):
    return {
        "pitch": random.normal(0, 4),
        "pace": random.uniform(0.9, 1.1),
        "loudness": random.normal(0, 2),
        "tilt": random.normal(0, 2),
    }


def timed(pieces, pace, random):
    """Begin, end in seconds and letters of each word of each piece, and the whole length."""
    time, words = random.uniform(0.1, 0.5), []
    for piece in pieces:
        words.append([])
        for word in re.findall(r"[a-z]+|,", piece.lower()):
            if word == ",":
                time += 0.15
                continue
            lasts = (0.1 + 0.05 * len(word)) * pace * random.uniform(0.9, 1.1)
            words[-1].append((time, time + lasts, word))
            time += lasts + 0.03
    return words, time + random.uniform(0.1, 0.4)


def sequence(pieces, who, mood, random):
    """(rows, 8) of a sentence in pieces, of which the second is said in a turned voice: breathy and higher; the loudness of each;
    and begin and end of every word in seconds. `mood`, around -2 … 2, raises pitch, pace and loudness against the speaker's own.
    """
    words, seconds = timed(pieces, who["pace"] * (1 - 0.12 * mood / 2), random)
    at = (np.arange(max(4, round(seconds * PER_SECOND))) + 0.5) / PER_SECOND
    rows = np.zeros((len(at), WIDTH))
    rows[:, LOUDNESS], rows[:, CROSSINGS] = -25, 0.3
    for number, piece in enumerate(words):
        for begin, end, word in piece:
            inside = (at >= begin) & (at < end)
            vowels = [VOWELS[c] for c in word if c in VOWELS] or [(0.5, 1.5)]
            place = ((at[inside] - begin) / (end - begin) * len(vowels)).astype(int)
            rows[inside, FIRST:FLUX] = np.array(vowels)[place]
            rows[inside, LOUDNESS] = who["loudness"] + 2 * mood
            rows[inside, PITCH] = who["pitch"] + 2.5 * mood - 2 * at[inside] / seconds
            rows[inside, VOICING], rows[inside, CROSSINGS] = 0.8, 0.1
            rows[inside, TILT] = who["tilt"]
            if number == 1:
                rows[inside, PITCH] += 4
                rows[inside, VOICING] -= 0.4
                rows[inside, TILT] += 6
    rows[1:, FLUX] = np.abs(np.diff(rows[:, LOUDNESS])) / 10
    noise = random.normal(0, [1.5, 0.8, 0.1, 1.5, 0.05, 0.1, 0.2, 0.03], rows.shape)
    times = [(begin, end) for piece in words for begin, end, _ in piece]
    return rows + noise, 10 ** (rows[:, LOUDNESS] / 20), times
