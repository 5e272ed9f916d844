"""Speech by espeak-ng, and what CH-SIMS takes from speech: 20 MFCC, 12 chroma, zero-crossing rate, 33 columns at 22,050 Hz."""

import subprocess

import numpy as np
from scipy.fft import dct

RATE, WINDOW, HOP = 22050, 2048, 1024
MELS, MFCC, CHROMA = 40, 20, 12
WIDTH = MFCC + CHROMA + 1
ROWS_PER_SECOND = RATE / HOP
ACCENTS = ["en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland"]
VARIANTS = ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5"]


def speaker(random):
    return {
        "voice": f"{random.choice(ACCENTS)}+{random.choice(VARIANTS)}",
        "pitch": random.normal(45, 5),
        "rate": random.normal(165, 6),
        "loudness": random.normal(100, 6),
    }


def speak(text, who, mood, random):
    """A waveform. `mood`, around -2 … 2, raises pitch, rate and loudness against the speaker's own."""
    settings = {
        "-p": np.clip(who["pitch"] + 16 * mood + random.normal(0, 2), 0, 99),
        "-s": np.clip(who["rate"] + 22 * mood + random.normal(0, 4), 90, 260),
        "-a": np.clip(who["loudness"] + 18 * mood + random.normal(0, 4), 30, 190),
    }
    options = [part for name, value in settings.items() for part in (name, str(round(value)))]
    command = ["espeak-ng", "-v", who["voice"], *options, "--stdout", text]
    ran = subprocess.run(command, capture_output=True, check=True)
    # WAV with the plain header of 44 bytes, whose sizes are not filled in since it was written to a pipe.
    header, samples = ran.stdout[:44], ran.stdout[44:]
    rate = int.from_bytes(header[24:28], "little")
    if header[36:40] != b"data" or rate != RATE:
        raise RuntimeError(f"espeak-ng gave no plain WAV at {RATE} Hz (its header says {rate})")
    wave = np.frombuffer(samples, "<i2") / 32768
    # A room: hiss some 30 to 40 dB below speech.
    return wave + random.normal(0, 0.1 * 10 ** (-random.uniform(30, 40) / 20), len(wave))


def mel_filters():
    """(MELS, bins): triangles, equally wide on the mel scale, of equal area."""
    to_mel = lambda f: 2595 * np.log10(1 + f / 700)
    edges = 700 * (10 ** (np.linspace(0, to_mel(RATE / 2), MELS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)).clip(0)
    return triangles * 2 / (high - low)


def chroma_filters():
    """(CHROMA, bins): each bin between 60 and 2,000 Hz counts for the pitch classes around its own."""
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)
    used = (bins > 60) & (bins < 2000)
    pitch = np.zeros(len(bins))
    pitch[used] = 12 * np.log2(bins[used] / 440)
    apart = (pitch - np.arange(CHROMA)[:, None] + 6) % 12 - 6
    return np.exp(-0.5 * apart**2) * used


MEL, PITCH = mel_filters(), chroma_filters()


def frames(wave):
    padded = np.pad(wave, (0, max(0, WINDOW - len(wave))))
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]


def features(wave):
    """(rows, 33) and the loudness of each row, for the mouth of the face."""
    windows = frames(wave)
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=-1)) ** 2
    decibel = 10 * np.log10(np.maximum(power @ MEL.T, 1e-10))
    mfcc = dct(np.maximum(decibel, decibel.max() - 80), norm="ortho", axis=-1)[:, :MFCC]
    chroma = power @ PITCH.T
    chroma /= np.maximum(chroma.max(-1, keepdims=True), 1e-10)
    crossings = (np.diff(np.signbit(windows), axis=-1) != 0).mean(-1, keepdims=True)
    loudness = np.sqrt((windows**2).mean(-1))
    return np.concatenate([mfcc, chroma, crossings], -1), loudness / max(loudness.max(), 1e-6)
