"""Writes the held-out clips and their questions: `python make_clips.py --out FOLDER`.

Clips are H.264 in yuv420p at 10 frames a second, so that reading them goes the way of any video. Seeds start at 2^40, where
training never draws. The same seed gives the same clip before coding; the file's bytes depend on the encoder's version.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

import data

FRAMES_PER_SECOND = 10
FIRST_SEED = 1 << 40


def encode(frames: np.ndarray, path: Path, quality: int) -> None:
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{data.SIDE}x{data.SIDE}", "-r", str(FRAMES_PER_SECOND), "-i", "-",
        "-vf", "scale=out_color_matrix=bt601:out_range=tv", "-c:v", "libx264", "-preset", "slow", "-threads", "1",
        "-pix_fmt", "yuv420p", "-colorspace", "smpte170m", "-color_range", "tv", "-crf", str(quality),
        "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", str(path),
    ]
    subprocess.run(command, input=frames.tobytes(), check=True)


def decode(path: Path) -> np.ndarray:
    """All frames (time, height, width, 3), 0..255."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, data.SIDE, data.SIDE, 3)


def clip(seed: int) -> tuple[np.ndarray, list[data.Thing], list[tuple[str, str, data.Thing]]]:
    """Frames, things, and two questions (kind, words, answer): one about order and one about a colour or a shape."""
    rng = np.random.default_rng(seed)
    things = data.random_things(rng)
    times = np.arange(data.SECONDS * FRAMES_PER_SECOND) / FRAMES_PER_SECOND
    frames = data.render(things, data.random_background(rng), data.random_look(rng, things), times)
    for frame in frames:  # what a sensor adds is new in every frame
        frame += 1.0 * data.crop(rng, data.NOISE)
    asked = data.possible_questions(things)
    chosen = [asked[int(rng.integers(2))], asked[2 + int(rng.integers(len(asked) - 2))]]
    questions = [(kind, str(rng.choice(wordings)), thing) for kind, wordings, thing in chosen]
    return np.clip(np.round(frames), 0, 255).astype(np.uint8), things, questions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--crf", type=int, default=18)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sizes = []
    with (args.out / "questions.jsonl").open("w") as out:
        for i in range(args.clips):
            frames, things, questions = clip(args.first_seed + i)
            path = args.out / f"clip{i:03d}.mp4"
            encode(frames, path, args.crf)
            sizes.append(path.stat().st_size)
            for j, (kind, question, thing) in enumerate(questions):
                row = {
                    "id": f"clip{i:03d}_{j}",
                    "video": path.name,
                    "kind": kind,
                    "question": question,
                    "word": thing.word,
                    "time": float(thing.onset),
                    "bbox": list(thing.box(thing.onset)),
                    # The second in which it appears; from its start on it is in the picture.
                    "window": [float(thing.onset), thing.onset + 1.0],
                    "things": len(things),
                }
                out.write(json.dumps(row) + "\n")
    print(f"{args.clips} clips, {min(sizes)} to {max(sizes)} bytes, {sum(sizes)} in all")


if __name__ == "__main__":
    main()
