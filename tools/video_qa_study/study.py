"""Token selection against keeping everything: runs the `video_qa` program and scores its answers.

    python study.py CLIPS --out RESULTS [--program target/release/examples/video_qa] [--model FOLDER]...

CLIPS is a folder that `../train_tiny_qwen_vl/make_clips.py` made: videos and `questions.jsonl` with the truth. Every setting is one
bulk run, whose answers stay in RESULTS: the command may be stopped and started again. Several models are seeds of the training.
Needs Python alone.
"""

import argparse
import json
import re
import statistics
import subprocess
from pathlib import Path

# A name that ends so is the preset in one pass.
IN_PLACE = "-in-place"
ATTENTION = ["grounding" + IN_PLACE, "grounding", "flex-select" + IN_PLACE, "flex-select", "prune-vid", "fast-v"]
BASELINES = ["uniform" + IN_PLACE, "random" + IN_PLACE, "change", "uniform", "random"]
KEEPS = [0.5, 0.25, 0.1]
# A box is right from this IoU on, as in the library's Know-Show measures, and a time within a second.
RIGHT_IOU = 0.5
RIGHT_SECONDS = 1.0


def settings(seeds, keeps, stated):
    """Preset, share kept, times as text, seed: random selections are drawn several times."""
    for times in stated:
        yield "all", 1.0, times, 0
        for keep in keeps:
            for preset in ATTENTION + BASELINES:
                for seed in range(seeds if preset.startswith("random") else 1):
                    yield preset, keep, times, seed


def name(preset, keep, times, seed):
    return f"{preset}-{keep:g}-{'times' if times else 'plain'}-{seed}"


def run(program, model, questions, out, setting):
    preset, keep, times, seed = setting
    command = [program, "--batch", questions, "--out", out, "--model", model, "--max-tokens", "48", "--seed", str(seed)]
    if preset != "all":
        command += ["--keep", f"{keep:g}", "--preset", preset.removesuffix(IN_PLACE)]
    if preset.endswith(IN_PLACE):
        command.append("--in-place")
    if times:
        command.append("--timestamps")
    done = subprocess.run([str(part) for part in command], stderr=subprocess.PIPE, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{name(*setting)}: {done.stderr.strip()}")


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return shared / (area(a) + area(b) - shared)


def judge(truth, answer):
    """What is known (the word), and shown (time and box), of one question."""
    text = answer.get("answer", "")
    word = re.match(r"\s*([a-z]+ [a-z]+)", text)
    known = bool(word) and word.group(1) == truth["word"]
    times, boxes = answer.get("times") or [], answer.get("boxes") or []
    error = abs(times[0] - truth["time"]) if times else None
    overlap = iou(boxes[0]["box"], truth["bbox"]) if boxes else 0.0
    when = error is not None and error <= RIGHT_SECONDS
    return {
        "word": known,
        "time": when,
        "error": error,
        "iou": overlap,
        "box": overlap >= RIGHT_IOU,
        "joint": known and when and overlap >= RIGHT_IOU,
    }


def summary(truths, path):
    answers = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            answer = json.loads(line)
            answers[answer["id"]] = answer
    judged = [judge(truth, answers.get(truth["id"], {})) for truth in truths]
    mean = lambda key: statistics.fmean(float(row[key]) for row in judged)
    given = [a for a in answers.values() if "seconds" in a]
    errors = [row["error"] for row in judged if row["error"] is not None]
    return {
        "questions": len(truths),
        "word": mean("word"),
        "time": mean("time"),
        # Not the mean, which one answer of a thousand seconds decides.
        "time_error": statistics.median(errors) if errors else None,
        "iou": mean("iou"),
        "joint": mean("joint"),
        "cache_kb": statistics.fmean(a["cache_bytes"] for a in given) / 1e3,
        "prefill_ms": statistics.median(a["seconds"]["prefill"] for a in given) * 1e3,
        "judged": judged,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--program", default="target/release/examples/video_qa")
    parser.add_argument("--model", type=Path, action="append")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the random selection")
    parser.add_argument("--questions", type=int, help="only so many")
    parser.add_argument("--keep", type=float, action="append", help=f"share kept; {KEEPS} by default")
    parser.add_argument("--times", choices=("with", "without", "both"), default="both", help="times as text in the prompt")
    args = parser.parse_args()
    models = args.model or [Path("models/tiny-qwen-vl")]
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.clips / "questions.jsonl", encoding="utf-8") as lines:
        truths = [json.loads(line) for line in lines][: args.questions]
    # The program reads what it is asked and not the truth; videos are found from the list's folder.
    asked = args.clips / f"asked-{len(truths)}.jsonl"
    asked.write_text("".join(json.dumps({k: t[k] for k in ("id", "video", "question")}) + "\n" for t in truths), encoding="utf-8")
    stated = {"with": (True,), "without": (False,), "both": (True, False)}[args.times]
    results = {}
    for number, model in enumerate(models):
        for setting in settings(args.seeds, args.keep or KEEPS, stated):
            path = args.out / f"{number}-{name(*setting)}.jsonl"
            run(args.program, model, asked, path, setting)
            results[number, *setting] = summary(truths, path)
            row = results[number, *setting]
            print(number, name(*setting), f"joint {row['joint']:.3f} word {row['word']:.3f} time {row['time']:.3f} iou {row['iou']:.3f}", flush=True)
    table(args.out, results)


def table(out, results):
    """Means over models and draws, and the least and largest where there are several."""
    grouped = {}
    for (_, preset, keep, times, _), row in results.items():
        grouped.setdefault((times, preset, keep), []).append(row)
    lines = ["| times as text | chosen by | kept | word | time ±1 s | time error, s | IoU | joint | keys and values, kB | prefill, ms |", "|---|---|---|---|---|---|---|---|---|---|"]
    for (times, preset, keep), rows in grouped.items():
        mean = lambda key: statistics.fmean(row[key] for row in rows if row[key] is not None)
        joints = [row["joint"] for row in rows]
        spread = f" ({min(joints):.2f}–{max(joints):.2f})" if len(rows) > 1 else ""
        lines.append(
            f"| {'yes' if times else 'no'} | {preset} | {keep:.0%} | {mean('word'):.2f} | {mean('time'):.2f} | {mean('time_error'):.2f} | {mean('iou'):.2f} "
            f"| {mean('joint'):.2f}{spread} | {mean('cache_kb'):.0f} | {mean('prefill_ms'):.0f} |"
        )
    (out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    paired(out, grouped)


def difference(base, row, measure):
    """Mean over questions ± its standard error."""
    found = [float(b[measure]) - float(a[measure]) for a, b in zip(base, row)]
    error = statistics.stdev(found) / len(found) ** 0.5 if len(found) > 1 else float("nan")
    return f"{statistics.fmean(found):+.3f} ± {error:.3f}"


def paired(out, grouped):
    """Of each setting, how much more it gets of the same questions than keeping all, draw by draw: the difference's error is that of
    the pairs."""
    measures = ("joint", "word", "time", "iou")
    lines = [f"| times as text | chosen by | kept | {' | '.join(measures)} |", "|---|---|---|" + "---|" * len(measures)]
    for (times, preset, keep), rows in grouped.items():
        if preset == "all":
            continue
        bases = grouped[times, "all", 1.0]
        for number, row in enumerate(rows):
            # Draws of one model come behind each other.
            base = bases[number * len(bases) // len(rows)]
            cells = [difference(base["judged"], row["judged"], measure) for measure in measures]
            lines.append(f"| {'yes' if times else 'no'} | {preset} | {keep:.0%} | {' | '.join(cells)} |")
    (out / "pairs.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
