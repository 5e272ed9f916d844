"""Compares the lean model with transformers': `python check_transformers.py --model FOLDER --data FOLDER`.

Logits of whole prompts and answers in float32 and the greedy answers themselves. Positions are handed over, since
transformers' releases differ in them; everything else is transformers' own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

import data
import evaluate
import make_clips
import model as tiny
import prompts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    lean, tokenizer = evaluate.load(args.model)
    theirs = Qwen2_5_VLForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
    end = tokenizer.token_to_id("<|im_end|>")
    rows = [json.loads(line) for line in (args.data / "questions.jsonl").open()][: 2 * args.questions : 2]
    worst, equal, total = 0.0, 0, 0
    for row in rows:
        frames = evaluate.sampled(make_clips.decode(args.data / row["video"])).astype(np.float32)
        patches = torch.from_numpy(data.to_patches(frames))[None]
        for times in (None, data.stated_times(exact=False)):
            text = evaluate.answers(lean, tokenizer, patches, [[row["question"]]], times)[0][0]
            layout = prompts.prefix(tokenizer, times)
            asked, said = prompts.question_ids(tokenizer, row["question"]), prompts.answer_ids(tokenizer, text)
            own = torch.tensor([[asked + said]])
            behind = (layout.next + torch.arange(own.shape[2])).expand(3, -1)
            with torch.no_grad():
                x = lean.embed(
                    torch.from_numpy(layout.ids), torch.from_numpy(layout.video), lean.visual(patches[0]).flatten(0, 1)[None],
                )
                kept, _ = lean.watch(x, tiny.mrope(lean.config, torch.from_numpy(layout.positions)))
                ours = lean.reply(kept, own, tiny.mrope(lean.config, behind))[0, 0]
                ids = torch.cat((torch.from_numpy(layout.ids), own[0, 0]))[None]
                positions = torch.cat((torch.from_numpy(layout.positions), behind), dim=1)[:, None]
                side = 2 * prompts.ROWS
                grid = [[data.SECONDS, side, side]] if times is None else [[1, side, side]] * data.SECONDS
                kinds = 2 * (ids == tokenizer.token_to_id("<|video_pad|>")).int()
                out = theirs(
                    input_ids=ids, position_ids=positions, pixel_values_videos=patches.flatten(0, 2),
                    video_grid_thw=torch.tensor(grid), mm_token_type_ids=kinds, use_cache=False,
                ).logits[0, len(layout.ids) :]
            worst = max(worst, (ours - out).abs().max().item())
            # Given the same beginning, transformers would have said the same token each time.
            greedy = out[len(asked) - 1 : -1].argmax(-1).tolist()
            equal += greedy == said and said[-1] == end
            total += 1
    print(f"largest difference of logits {worst:.2e}; {equal} of {total} greedy answers equal")
    if worst > 1e-3 or equal != total:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
