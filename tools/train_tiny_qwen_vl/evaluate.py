"""Scores a model's folder on held-out clips: `python evaluate.py --model FOLDER --data FOLDER`.

Reads the mp4 files, answers greedily in float32 with every video token kept, with and without stated times.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

import data
import make_clips
import model as tiny
import prompts

MEASURES = ("word", "time", "box", "iou", "joint")


def load(folder: Path) -> tuple[tiny.TinyQwenVl, Tokenizer]:
    weights = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    model = tiny.TinyQwenVl(tiny.Config(vocab=len(weights["model.embed_tokens.weight"])))
    model.load_state_dict(weights)
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


def sampled(frames: np.ndarray) -> np.ndarray:
    """16 frames evenly from the first to the last."""
    return frames[np.round(np.linspace(0, len(frames) - 1, 2 * data.SECONDS)).astype(int)]


@torch.no_grad()
def answers(model, tokenizer, patches, questions: list[list[str]], times, most: int = 40) -> list[list[str]]:
    """Greedy answers to as many questions for each clip, patches (clips, groups, 100, values)."""
    layout = prompts.prefix(tokenizer, times, patches.shape[1])
    tokens = model.visual(patches.flatten(0, 1)).unflatten(0, patches.shape[:2]).flatten(1, 2)
    x = model.embed(torch.from_numpy(layout.ids), torch.from_numpy(layout.video), tokens)
    kept, _ = model.watch(x, tiny.mrope(model.config, torch.from_numpy(layout.positions)))
    asked = [[prompts.question_ids(tokenizer, q) for q in clip] for clip in questions]
    length = max(len(q) for clip in asked for q in clip) + most
    end = tokenizer.token_to_id("<|im_end|>")
    ids = torch.full((len(asked), len(asked[0]), length), end)
    at = torch.tensor([[len(q) for q in clip] for clip in asked])
    first = at.clone()
    for b, clip in enumerate(asked):
        for q, row in enumerate(clip):
            ids[b, q, : len(row)] = torch.tensor(row)
    done = torch.zeros_like(at, dtype=torch.bool)
    for _ in range(most):
        used = int(at.max())
        rope = tiny.mrope(model.config, (layout.next + torch.arange(used)).expand(3, -1))
        logits = model.reply(kept, ids[:, :, :used], rope)
        new = logits.gather(2, (at - 1)[..., None, None].expand(-1, -1, 1, logits.shape[-1])).argmax(-1)[..., 0]
        done |= new == end
        if done.all():
            break
        ids.scatter_(2, at[..., None], torch.where(done, torch.tensor(end), new)[..., None])
        at += (~done).long()
    return [
        [tokenizer.decode(ids[b, q, first[b, q] : at[b, q]].tolist()) for q in range(len(asked[0]))] for b in range(len(asked))
    ]


def thing_of(row: dict) -> data.Thing:
    colour, shape = row["word"].split()
    x1, y1, x2, _ = row["bbox"]
    names = data.COLOUR_NAMES.index(colour), data.SHAPES.index(shape)
    return data.Thing(*names, x2 - x1, x1, y1, int(row["time"]), (0.0, 0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="where scores and answers go")
    parser.add_argument("--clips", type=int, help="only so many")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, tokenizer = load(args.model)
    rows = [json.loads(line) for line in (args.data / "questions.jsonl").open()]
    clips = defaultdict(list)
    for row in rows:
        clips[row["video"]].append(row)
    names = sorted(clips)[: args.clips]
    results = {}
    for mode, times in (("without_times", None), ("with_times", data.stated_times(exact=False))):
        said, scores = {}, defaultdict(list)
        for i in range(0, len(names), 20):
            some = names[i : i + 20]
            frames = [sampled(make_clips.decode(args.data / name)).astype(np.float32) for name in some]
            patches = torch.from_numpy(np.stack([data.to_patches(f) for f in frames]))
            texts = answers(model, tokenizer, patches, [[r["question"] for r in clips[n]] for n in some], times)
            for name, replies in zip(some, texts):
                for row, text in zip(clips[name], replies):
                    said[row["id"]] = text
                    score = data.score(data.read_answer(text), thing_of(row))
                    for group in ("all", row["kind"], f"{row['things']} things"):
                        scores[group].append(score)
        table = {g: dict(zip(MEASURES, np.mean(s, axis=0).round(3).tolist())) | {"n": len(s)} for g, s in scores.items()}
        results[mode] = {"scores": table, "answers": said}
        for group, values in sorted(table.items()):
            print(mode, group, values)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
