"""Samples clips from an exported folder, measures them and draws a contact sheet.

    python sample.py --model ../../models/tiny-wan --held-out --sheet ../../models/tiny-wan/contact_sheet.png
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanTransformer3DModel
from PIL import Image, ImageDraw
from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

import data
import metrics
from model import PromptEncoder

Objects = list[tuple[str, str]]


class Sampler:
    def __init__(self, folder: Path):
        self.transformer = WanTransformer3DModel.from_pretrained(folder / "transformer", torch_dtype=torch.float32)
        text_encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
        self.encode = PromptEncoder(tokenizer, text_encoder).eval()
        self.transformer.eval()
        self.folder = folder

    @torch.no_grad()
    def __call__(self, prompts: list[str], seeds: list[int], steps: int, guidance: float, solver: str, shift: float):
        """Returns (prompts, 3, frames, height, width) in [-1, 1]."""
        if solver == "unipc":
            scheduler = UniPCMultistepScheduler.from_pretrained(self.folder / "scheduler", flow_shift=shift)
        else:
            scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        scheduler.set_timesteps(steps)
        shape = (3, data.FRAMES, data.HEIGHT, data.WIDTH)
        latents = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
        context = torch.cat([self.encode(prompts), self.encode([""] * len(prompts))])
        for t in scheduler.timesteps:
            time = t.float().expand(2 * len(prompts))
            velocity = self.transformer(torch.cat([latents, latents]), time, context, return_dict=False)[0]
            asked, empty = velocity.chunk(2)
            latents = scheduler.step(empty + guidance * (asked - empty), t, latents, return_dict=False)[0]
        return latents.clamp(-1, 1).numpy()


def held_out_prompts() -> list[tuple[str, Objects]]:
    """12 single objects (with new noise) and the 12 pairs that no training caption names, in both orders."""
    rows = [(f"a {data.phrase(o)}", [o]) for o in data.OBJECTS]
    for a, b in data.HELD_OUT_PAIRS:
        rows.append((f"a {data.phrase(a)} and a {data.phrase(b)}", [a, b]))
        rows.append((f"a {data.phrase(b)} and a {data.phrase(a)}", [b, a]))
    return rows


def contact_sheet(clips: np.ndarray, prompts: list[str], path: Path, zoom: int = 5) -> None:
    gap, label = 3, 250
    cell_h, cell_w = data.HEIGHT * zoom, data.WIDTH * zoom
    frames = clips.shape[2]
    sheet = Image.new("RGB", (label + frames * (cell_w + gap), len(clips) * (cell_h + gap) + gap), (70, 70, 70))
    draw = ImageDraw.Draw(sheet)
    for row, (clip, prompt) in enumerate(zip(clips, prompts)):
        top = gap + row * (cell_h + gap)
        draw.text((6, top + cell_h // 2 - 6), prompt, fill=(255, 255, 255))
        for frame in range(frames):
            pixels = ((clip[:, frame].transpose(1, 2, 0) + 1) * 127.5).round().astype(np.uint8)
            image = Image.fromarray(pixels).resize((cell_w, cell_h), Image.Resampling.NEAREST)
            sheet.paste(image, (label + frame * (cell_w + gap), top))
    sheet.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--prompt", action="append", default=[])
    parser.add_argument("--held-out", action="store_true", help="sample and score the held-out prompts")
    parser.add_argument("--seeds", type=int, default=1, help="clips per prompt")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--shift", type=float)
    parser.add_argument("--solver", choices=("unipc", "euler"), default="unipc")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", type=Path, help="write the scores here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    facts = json.loads((args.model / "foveal.json").read_text())
    steps = args.steps or facts["steps"]
    guidance = facts["guidance_scale"] if args.guidance is None else args.guidance
    shift = args.shift or facts["shift"]

    sampler = Sampler(args.model)
    known = held_out_prompts() if args.held_out else []
    rows: list[tuple[str, Objects | None, int]] = []
    for repeat in range(args.seeds):
        rows += [(prompt, None, args.first_seed + repeat) for prompt in args.prompt]
        rows += [(p, o, args.first_seed + 1000 * repeat + i) for i, (p, o) in enumerate(known)]
    clips = []
    for i in range(0, len(rows), 12):
        part = rows[i : i + 12]
        clips.append(sampler([r[0] for r in part], [r[2] for r in part], steps, guidance, args.solver, shift))
    clips = np.concatenate(clips)

    report = {"solver": args.solver, "steps": steps, "guidance": guidance, "shift": shift}
    for name, count in (("one object", 1), ("two objects, held-out pairs", 2)):
        scores = [metrics.score(c, o) for c, (_, o, _) in zip(clips, rows) if o and len(o) == count]
        if scores:
            report[name] = {"clips": len(scores), **metrics.summary(scores)}
    print(json.dumps(report, indent=1))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    if args.sheet:
        shown = [i for i, r in enumerate(rows) if i < len(args.prompt) + len(known)]
        if args.held_out and len(shown) > 24:  # all single objects, one order of each pair
            shown = [i for i in shown if i < 12 or (i - 12) % 2 == 0]
        contact_sheet(clips[shown], [rows[i][0] for i in shown], args.sheet)


if __name__ == "__main__":
    main()
