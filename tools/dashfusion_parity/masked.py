"""Writes what the golden clips give without any padding: the answer that a mode which masks padding everywhere must reach.

    python masked.py [--golden ../../kernels-tests/golden] [--out ../../kernels-tests/training]

Each clip runs alone, cut to its own rows of text, audio and vision, so that there is no padding. The released code
cannot do it: its position tables want full length.

Two clips of the golden case have rows of zeros (or of sum 0) in their middle, which the released rule takes for padding.
`by_mask` leaves them out as if there were none, their positions counted; `by_length` keeps them, since they are rows of
the clip by its length.
"""

import argparse
import json
from pathlib import Path

import torch
from model import DashFusion
from run import golden_clips
from safetensors.torch import load_file


def scores(case, dtype, by_mask):
    model = DashFusion({k.removeprefix("weight/"): v.to(dtype) for k, v in case.items() if k.startswith("weight/")})
    clips, rows = golden_clips(case), []
    for i in range(len(case["in/label"])):
        alone, lengths = {}, {}
        for name in ("text", "audio", "vision"):
            # The masks of audio and vision have the class row in front, the features have not.
            front = int(name != "text")
            hidden = clips[f"{name}_hidden"][i]
            lengths[name] = int((~hidden).nonzero().max()) + 1 - front
            hidden = hidden[None, : lengths[name] + front]
            alone[f"{name}_hidden"] = hidden if by_mask else torch.zeros_like(hidden)
            alone[name] = clips[name][i : i + 1, : lengths[name]].to(dtype)
        with torch.no_grad():
            out = model.forward(alone, drop_hidden=True)
        norms = {k: out[k].norm().item() for k in ("pool_t", "pool_a", "pool_v", "H", "z")}
        z = out["z"][0, ::32].tolist()
        rows.append({"rows": lengths, "prediction": out["y"].item(), "norms": norms, "z": z})
    return rows


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, default=here / "../../kernels-tests/golden")
    parser.add_argument("--out", type=Path, default=here / "../../kernels-tests/training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    case = load_file(arguments.golden / "dash_forward_mosi_a/tensors.safetensors")
    record = {
        "weights_and_clips": "golden/dash_forward_mosi_a/tensors.safetensors",
        "z": "every 32nd of the 512 values",
        "precision": "f64",
    }
    for name in ("by_mask", "by_length"):
        single, double = (scores(case, dtype, name == "by_mask") for dtype in (torch.float32, torch.float64))
        for i, (a, b) in enumerate(zip(single, double)):
            shipped = case["out/y"][i].item()
            print(f"{name} clip {i}: {b['rows']} y {b['prediction']:.6f}, f32 {a['prediction']:.6f}; padded {shipped:.6f}")
        record[name] = double
    (arguments.out / "dashfusion_masked.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
