"""What librosa and Praat make of a sentence: the values that foveal's speech features are held to.

    python reference.py ../../kernels-tests/training/speech

writes speech.flac, spoken by espeak-ng, and reference.json. README.md says what is compared with what.
"""

import argparse
import json
import subprocess
from pathlib import Path

import librosa
import numpy as np
import parselmouth
import scipy
import soundfile

RATE, WINDOW, HOP, ROWS_PER_SECOND = 16000, 1024, 640, 25
LOW, HIGH, BANDS, CEPSTRUM = 50.0, 3700.0, 20, 12
NOISE = 1e-9
SENTENCE = "You know, that ending was fine."


def speak(path):
    """A sentence with silence around it and hiss 45 dB below full scale, 16 bits at 16 kHz."""
    raw = path.with_suffix(".wav")
    subprocess.run(["espeak-ng", "-v", "en-gb", "-s", "190", "-w", str(raw), SENTENCE], check=True)
    wave, rate = soundfile.read(raw)
    raw.unlink()
    wave = scipy.signal.resample_poly(wave, RATE // 50, rate // 50)
    wave = np.concatenate([np.zeros(RATE // 5), 0.7 * wave, np.zeros(RATE // 10)])
    wave += np.random.default_rng(5).normal(0, 10 ** (-45 / 20), len(wave)) * (np.arange(len(wave)) > RATE // 10)
    soundfile.write(path, wave, RATE, subtype="PCM_16")


def spectral(wave):
    """Columns by librosa from one power spectrum: in the band, with faint noise, and its sum the window's mean square."""
    spectrum = librosa.stft(wave, n_fft=2 * WINDOW, win_length=WINDOW, hop_length=HOP, window="hann", pad_mode="constant")
    hann = scipy.signal.get_window("hann", WINDOW)
    power = np.abs(spectrum) ** 2 / (WINDOW * (hann**2).sum())
    hertz = librosa.fft_frequencies(sr=RATE, n_fft=2 * WINDOW)
    inside = (hertz >= LOW) & (hertz <= HIGH)
    power = np.where(inside[:, None], power + NOISE / inside.sum(), 0)
    band, freq = power[inside], hertz[inside]
    level = 10 * np.log10(band.sum(0))
    filters = librosa.filters.mel(sr=RATE, n_fft=2 * WINDOW, n_mels=BANDS, fmin=0, fmax=HIGH)
    mel = librosa.power_to_db(filters @ power, amin=1e-30, top_db=None)
    octave = np.log2(librosa.mel_frequencies(BANDS + 2, fmin=0, fmax=HIGH)[1:-1])
    columns = {
        "level": level,
        "level_relative": level - 10 * np.log10(band.sum(0).mean()),
        "centroid": librosa.feature.spectral_centroid(S=band, freq=freq)[0],
        "spread": librosa.feature.spectral_bandwidth(S=band, freq=freq)[0],
        "rolloff": librosa.feature.spectral_rolloff(S=band, freq=freq, roll_percent=0.85)[0],
        "flatness": 10 * np.log10(librosa.feature.spectral_flatness(S=band, power=1, amin=1e-30)[0]),
        "tilt": np.polyfit(octave, mel, 1)[0],
        "flux": librosa.onset.onset_strength(S=mel, sr=RATE, center=False),
    }
    columns |= {f"mel_{i + 1:02}": row for i, row in enumerate(mel)}
    cepstrum = librosa.feature.mfcc(S=mel, n_mfcc=CEPSTRUM + 1, norm="ortho")
    return columns | {f"mfcc_{i:02}": cepstrum[i] for i in range(1, CEPSTRUM + 1)}


def crossings(wave, rows):
    """Of each window without what lies outside the band, at 32 kHz, in its middle half."""
    frames = librosa.util.frame(np.pad(wave, WINDOW), frame_length=WINDOW, hop_length=1)
    hann = scipy.signal.get_window("hann", WINDOW)
    hertz = np.fft.rfftfreq(2 * WINDOW, 1 / RATE)
    counts = []
    for row in range(rows):
        spectrum = np.fft.rfft(frames[:, WINDOW // 2 + row * HOP] * hann, 2 * WINDOW)
        spectrum[(hertz < LOW) | (hertz > HIGH)] = 0
        fine = scipy.signal.resample(np.fft.irfft(spectrum), 4 * WINDOW)
        counts.append(librosa.zero_crossings(fine[WINDOW // 2 : 3 * WINDOW // 2], threshold=NOISE**0.5, pad=False).sum())
    return np.array(counts) / 0.032


def praat(wave, rows):
    """Pitch in semitones above 27.5 Hz, and the height of the peak, both 0 where unvoiced, of the sentence without what lies outside the band."""
    # Praat puts its frames into the middle of a sound: with half a window before the first row and after the last, and a
    # sample more for the rounding, they lie at the rows' times.
    padded = np.zeros((rows - 1) * HOP + WINDOW + 2)
    padded[WINDOW // 2 + 1 :][: len(wave)] = wave[: len(padded) - WINDOW // 2 - 1]
    spectrum = np.fft.rfft(padded)
    hertz = np.fft.rfftfreq(len(padded), 1 / RATE)
    spectrum[(hertz < LOW) | (hertz > HIGH)] = 0
    sound = parselmouth.Sound(np.fft.irfft(spectrum, len(padded)), RATE)
    step, floor = 1 / ROWS_PER_SECOND, 3 / 0.064  # Three periods of the lowest pitch are Praat's window: 64 ms.
    pitch = sound.to_pitch_ac(time_step=step, pitch_floor=floor, silence_threshold=0.0, pitch_ceiling=500.0)
    hertz, strength = pitch.selected_array["frequency"], pitch.selected_array["strength"]
    assert len(hertz) == rows
    return {
        "pitch": np.where(hertz > 0, 12 * np.log2(np.maximum(hertz, 27.5) / 27.5), 0.0),
        "voicing": np.where(hertz > 0, strength, 0.0),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--keep", action="store_true", help="take the speech.flac that is there")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "speech.flac"
    if not arguments.keep:
        speak(path)
    wave, rate = soundfile.read(path)
    assert rate == RATE
    columns = spectral(wave)
    rows = len(columns["level"])
    columns |= {"zero_crossings": crossings(wave, rows)} | praat(wave, rows)
    record = {
        "librosa": librosa.__version__,
        "praat": parselmouth.PRAAT_VERSION,
        "rows": rows,
        "columns": {name: [round(float(v), 4) for v in values] for name, values in columns.items()},
    }
    text = json.dumps(record).replace('], "', '],\n"').replace('{"level"', '{\n"level"')
    (arguments.out / "reference.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
