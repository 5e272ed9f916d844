"""Writes the sound files that the tests read, as the programs that people use write them.

    apt-get install ffmpeg sox flac && python3 make.py

All hold what `click.wav` of the fixtures holds, half a second at 8 kHz with a tone that begins at 0.25 s, or of formats
that do not compress 60 ms of it. `expected.txt` is what ffmpeg decodes of each: name, sample rate, channels, samples of a
channel, and some 40 samples of the channels' mean, evenly apart.
"""

import struct
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parents[1] / "src/pipelines/sounds/fixtures"
SOURCE = FIXTURES / "click.wav"
# Without a line about the program that wrote them, so that another version writes the same bytes.
PLAIN = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]

# A film of two pictures.
PICTURES = ["-filter_complex", "color=s=16x16:r=4:d=0.5[v]", "-map", "[v]", "-c:v", "mpeg4", "-flags:v", "+bitexact"]

# Of formats that do not compress, the beginning of the tone.
PART = ["-ss", "0.22", "-t", "0.06"]
TRIM = ["trim", "0.22", "0.06"]

# ffmpeg's arguments for a file.
FFMPEG = {
    "rf64.wav": [*PART, "-rf64", "always"],
    "u8.wav": [*PART, "-c:a", "pcm_u8"],
    "s24.wav": [*PART, "-c:a", "pcm_s24le"],
    "s32.wav": [*PART, "-c:a", "pcm_s32le"],
    "f32.wav": [*PART, "-c:a", "pcm_f32le"],
    "f64.wav": [*PART, "-c:a", "pcm_f64le"],
    "alaw.wav": [*PART, "-c:a", "pcm_alaw"],
    "mulaw.wav": [*PART, "-c:a", "pcm_mulaw"],
    "adpcm_ima.wav": ["-c:a", "adpcm_ima_wav"],
    "adpcm_ms.wav": ["-c:a", "adpcm_ms"],
    "mp3_inside.wav": ["-c:a", "libmp3lame", "-b:a", "24k"],
    "s16.aiff": [*PART, "-c:a", "pcm_s16be"],
    "f32.aifc": [*PART, "-c:a", "pcm_f32be", "-f", "aiff"],
    "mulaw.aifc": [*PART, "-c:a", "pcm_mulaw", "-f", "aiff"],
    "s16.caf": [*PART, "-c:a", "pcm_s16be"],
    "alac.caf": ["-c:a", "alac"],
    "aac.m4a": ["-c:a", "aac", "-b:a", "32k"],
    "alac.m4a": ["-c:a", "alac"],
    "vorbis.mka": ["-c:a", "libvorbis"],
    "film.mp4": [*PICTURES, "-map", "0:a", "-c:a", "aac", "-b:a", "32k"],
    "two_sounds.mkv": [*PICTURES, "-map", "0:a", "-map", "0:a", "-c:a", "libvorbis"],
    "flac.oga": ["-c:a", "flac"],
    "opus.opus": ["-c:a", "libopus", "-b:a", "16k"],
    "opus.webm": ["-c:a", "libopus", "-b:a", "16k"],
    "wma.wav": ["-c:a", "wmav2", "-b:a", "24k", "-f", "wav"],
}
# sox's arguments for what it writes to a pipe, and ffmpeg's.
PIPES = {
    "pipe_sox.wav": ["sox", str(SOURCE), "-t", "wav", "-", *TRIM],
    "pipe_ffmpeg.wav": ["ffmpeg", "-v", "error", "-i", str(SOURCE), *PLAIN, *PART, "-f", "wav", "-"],
    "pipe_sox.aiff": ["sox", str(SOURCE), "-t", "aiff", "-", *TRIM],
    "pipe_flac.flac": ["flac", "--silent", "--no-padding", "--blocksize=512", "--stdout", "--force-raw-format", "--endian=little", "--sign=signed",
                       "--channels=2", "--bps=16", "--sample-rate=8000", "-"],
    "gsm.wav": ["sox", str(SOURCE), "-t", "wav", "-c", "1", "-e", "gsm-full-rate", "-"],
    "other_order.wav": ["sox", str(SOURCE), "-B", "-t", "wav", "-", *TRIM],
}


def decoded(path: Path) -> tuple[int, int, list[float]]:
    """Rate, channels and the channels' mean as ffmpeg decodes them."""
    probe = ["ffprobe", "-v", "error", "-select_streams", "a", "-show_entries", "stream=sample_rate,channels", "-of", "csv=p=0", str(path)]
    rate, channels = map(int, subprocess.check_output(probe, text=True).strip().strip(",").split(",")[:2])
    raw = subprocess.check_output(["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-"])
    samples = struct.unpack(f"<{len(raw) // 4}f", raw)
    return rate, channels, [sum(samples[i:i + channels]) / channels for i in range(0, len(samples), channels)]


def main() -> None:
    for name, arguments in FFMPEG.items():
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(SOURCE), *PLAIN, *arguments, str(FIXTURES / name)]
        subprocess.run(command, check=True)
    for name, command in PIPES.items():
        # 44 bytes of header stand before the samples of the source.
        given = SOURCE.read_bytes()[44:] if name.startswith("pipe_flac") else None
        written = subprocess.run(command, check=True, capture_output=True, input=given).stdout
        (FIXTURES / name).write_bytes(written)
    lines = []
    for path in sorted(FIXTURES.iterdir()):
        if path.suffix == ".txt" or path.name.startswith(("opus", "gsm", "other_order", "two_sounds", "wma")):
            continue
        rate, channels, mean = decoded(path)
        values = " ".join(f"{v:.4f}" for v in mean[::max(1, len(mean) // 40)])
        lines.append(f"{path.name} {rate} {channels} {len(mean)} {values}\n")
    (FIXTURES / "expected.txt").write_text("".join(lines))
    sizes = {p.name: p.stat().st_size for p in FIXTURES.iterdir() if p.stat().st_size > 10_240 and p != SOURCE}
    if sizes:
        sys.exit(f"too large for a repository: {sizes}")


if __name__ == "__main__":
    main()
