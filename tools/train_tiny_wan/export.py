"""Writes a checkpoint of train.py as a folder that diffusers and transformers load, with float16 weights.

    python export.py --run RUN_FOLDER --out ../../models/tiny-wan

The folder is written beside its target first and then swapped in, so a reader never sees a half-written model.
Files in the target that this script does not write (README.md, contact_sheet.png) are kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from diffusers import UniPCMultistepScheduler

import data
import model as tiny_wan

GUIDANCE_SCALE = 3.0
STEPS = 20
SHIFT = 3.0


def load_average(checkpoint: Path, key: str):
    """The averaged weights of one module as a plain state dict."""
    state = torch.load(checkpoint, weights_only=True)
    weights = dict(state[key])
    weights.update(state["ema"][key])
    return weights


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def plot_loss(log: Path, target: Path) -> None:
    rows = list(csv.DictReader(log.open()))
    figure, axis = plt.subplots(figsize=(7, 4), dpi=110)
    for stage, colour in (("still", "tab:orange"), ("clip", "tab:blue")):
        chosen = [r for r in rows if r["stage"] == stage]
        axis.plot([int(r["step"]) for r in chosen], [float(r["loss"]) for r in chosen], color=colour, lw=1,
                  label=f"training loss, {'one-frame clips' if stage == 'still' else 'clips'}")
    checked = [r for r in rows if r["val_loss"]]
    axis.plot([int(r["step"]) for r in checked], [float(r["val_loss"]) for r in checked], "k.-", lw=1, ms=3,
              label="held-out pairs, averaged weights")
    axis.set(xlabel="step", ylabel="velocity mean squared error", yscale="log", title="tiny-wan training")
    axis.grid(alpha=0.3, which="both")
    axis.legend()
    figure.tight_layout()
    figure.savefig(target, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    checkpoint = args.run / "checkpoint.pt"

    args.out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".export-", dir=args.out.parent))
    if args.out.exists():
        shutil.copytree(args.out, folder, dirs_exist_ok=True)

    tokenizer = tiny_wan.build_tokenizer()
    text_encoder = tiny_wan.build_text_encoder(len(tokenizer))
    text_encoder.load_state_dict(load_average(checkpoint, "text_encoder"))
    text_encoder.half().save_pretrained(folder / "text_encoder")
    transformer = tiny_wan.build_transformer()
    transformer.load_state_dict(load_average(checkpoint, "transformer"))
    transformer.half().save_pretrained(folder / "transformer")
    tokenizer.save_pretrained(folder / "tokenizer")
    settings = json.loads((folder / "tokenizer" / "tokenizer_config.json").read_text())
    settings.pop("backend", None)
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # the name that older transformers know as well
    write_json(folder / "tokenizer" / "tokenizer_config.json", settings)
    write_json(folder / "tokenizer" / "special_tokens_map.json",
               {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"})
    UniPCMultistepScheduler(
        num_train_timesteps=1000, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT
    ).save_pretrained(folder / "scheduler")
    write_json(folder / "model_index.json", {
        "_class_name": "WanPipeline",
        "_diffusers_version": "0.42.1",
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "transformer_2": [None, None],
        "vae": [None, None],
    })
    write_json(folder / "foveal.json", {
        "frames": data.FRAMES,
        "height": data.HEIGHT,
        "width": data.WIDTH,
        "fps": data.FPS,
        "space": "pixel",
        "value_range": [-1.0, 1.0],
        "background": list(data.BACKGROUND),
        "text_len": tiny_wan.TEXT_LEN,
        "negative_prompt": "",
        "guidance_scale": GUIDANCE_SCALE,
        "steps": STEPS,
        "shift": SHIFT,
        "grid": "wan",
        "palette": {name: list(rgb) for name, rgb in data.PALETTE.items()},
        "shapes": {name: ["".join("#" if c else "." for c in row) for row in mask] for name, mask in data.SHAPES.items()},
        "object_size": data.SIZE,
    })
    shutil.copy(args.run / "loss.csv", folder / "loss.csv")
    plot_loss(folder / "loss.csv", folder / "loss.png")

    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    if args.out.exists():
        old = Path(tempfile.mkdtemp(prefix=".old-", dir=args.out.parent)) / "model"
        args.out.rename(old)
        folder.rename(args.out)
        shutil.rmtree(old.parent)
    else:
        folder.rename(args.out)
    step = torch.load(checkpoint, weights_only=True)["step"]
    total = sum(f.stat().st_size for f in args.out.rglob("*") if f.is_file())
    print(f"step {step} -> {args.out} ({total / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
