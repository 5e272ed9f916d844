"""Holds `model.py` to the golden cases, then trains it for a few steps and writes what the losses did.

    python run.py [--golden ../../kernels-tests/golden] [--out ../../kernels-tests/training] [--controls]

`--controls` also trains with deliberate mistakes and prints how far each takes the losses away.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from model import EFFECTIVE_PAIRS, DashFusion, contrastive, linear_schedule, pair_losses

STEPS, WARMUP, LEARNING_RATE = 20, 4, 1e-4
BETAS, EPS = (0.9, 0.999), 1e-8
# With the released settings the decay moves a weight by some 1e-6 of itself in so few steps, and the loss follows nearly
# the same way without any gradient of its contrastive part: hence a second run in which both can be seen.
RUNS = {
    "released": {"weight_decay": 1e-3, "contrastive_weight": 0.2},
    "strong": {"weight_decay": 30.0, "contrastive_weight": 5.0},
}
COMPANIONS = 6
# Two same-label and four different-label companions a clip; rows of each modality that they have.
TEXT_ROWS, AUDIO_ROWS, VISION_ROWS = 12, 90, 110
# Whose norms are written after the last step: one of each kind of layer, both ends of the network.
NORMS = [
    "text_encoder.projector.proj.0.weight",
    "text_encoder.projector.layernorm.weight",
    "audio_encoder.encoder.pos_encoder.cls_token",
    "audio_encoder.encoder.pos_encoder.position_embeddings",
    "audio_encoder.encoder.transformer_encoder.layers.0.self_attn.in_proj_weight",
    "vision_encoder.encoder.pos_encoder.proj.weight",
    "vision_encoder.encoder.transformer_encoder.layers.1.linear2.bias",
    "temporal_alignment.to_k_ta.weight",
    "temporal_alignment.to_out.0.bias",
    "HBF.encoder_q.0.layers.0.0.fn.to_query.weight",
    "HBF.encoder_q2tav.1.to_v_a.weight",
    "HBF.encoder_a.1.layers.0.1.norm.weight",
    "classifier.MLP.0.weight",
    "classifier.MLP.4.bias",
]


def rel_l2(ours, expected):
    return ((ours - expected).norm() / expected.norm()).item()


def padding(features):
    """The released rule: a frame is padding if its features sum to 0; frame 0 and the class row never are."""
    hidden = features.sum(-1) == 0
    hidden[:, 0] = False
    return torch.cat([torch.zeros_like(hidden[:, :1]), hidden], 1)


def clips_of(text, text_mask, audio, vision):
    return {
        "text": text,
        "text_hidden": text_mask == 0,
        "audio": audio,
        "audio_hidden": padding(audio),
        "vision": vision,
        "vision_hidden": padding(vision),
    }


def golden_clips(case):
    clips = clips_of(*(case[f"in/{n}"] for n in ("text_hidden", "text_mask", "audio", "vision")))
    for stream in ("audio", "vision"):
        assert torch.equal(clips[f"{stream}_hidden"], case[f"in/{stream}_padding_mask"] == 1), stream
    return clips


def check_forward(folder):
    case = load_file(folder / "tensors.safetensors")
    tolerance = json.loads((folder / "case.json").read_text())["tolerance"]
    model = DashFusion({k.removeprefix("weight/"): v.float() for k, v in case.items() if k.startswith("weight/")})
    errors = {}

    def compare(clips, label, prefix):
        out = model.forward(clips)
        out["mse"] = torch.nn.functional.mse_loss(out["y"], label)[None]
        rows = {s: case[f"in/stream_rows_{s}"] for s in ("audio", "vision")}
        for level, trace in enumerate(out.pop("trace")):
            out |= {f"{n}_l{level}": trace[n] for n in ("Q", "Q_selfatt")}
            out |= {f"stream_{s}_l{level}": trace[s][:, rows[s]] if s in rows else trace[s] for s in ("text", "audio", "vision")}
        for name in (k.removeprefix(prefix) for k in case if k.startswith(prefix)):
            if "/" in name:
                continue
            expected = case[prefix + name]
            ours = out[name].reshape(expected.shape)
            errors[prefix + name] = (rel_l2(ours, expected), (ours - expected).abs().max().item())

    clips, label = golden_clips(case), case["in/label"]
    with torch.no_grad():
        compare(clips, label, "out/")
        for i in range(len(label)):
            rows = int(case["in/text_mask"][i].sum())
            alone = {k: v[i : i + 1] for k, v in clips.items()}
            alone |= {k: alone[k][:, :rows] for k in ("text", "text_hidden")}
            compare(alone, label[i : i + 1], f"out/b1_{i}/")
    compared = {k for k in case if k.startswith("out/")}
    assert compared == set(errors), compared ^ set(errors)
    worst = max(errors, key=lambda k: errors[k][0])
    print(f"forward: {len(errors)} tensors, worst {worst} rel_l2 {errors[worst][0]:.1e} max_abs {errors[worst][1]:.1e}")
    off = [k for k, (r, a) in errors.items() if r > tolerance["rel_l2"] or a > tolerance["max_abs"]]
    assert not off, off


def check_loss(folder):
    case = load_file(folder / "tensors.safetensors")
    vectors = case["in/embeddings"].requires_grad_()
    predicted = case["in/pred"].requires_grad_()
    per_clip = contrastive(vectors)
    mse = torch.nn.functional.mse_loss(predicted, case["in/label"])
    total = mse + RUNS["released"]["contrastive_weight"] * per_clip.mean()
    total.backward()
    listed = list(zip(case["in/anchor_pos"].tolist(), case["in/pos"].tolist()))
    pairs = torch.zeros(len(vectors), len(listed))
    for column, pair in zip(pair_losses(vectors).detach().T, EFFECTIVE_PAIRS):
        pairs[:, listed.index(pair)] = column
    ours = {
        "pair_losses": pairs,
        "contrastive_per_clip": per_clip,
        "contrastive": per_clip.mean()[None],
        "mse": mse[None],
        "total": total[None],
        "grad_embeddings": vectors.grad,
        "grad_pred": predicted.grad,
    }
    tolerance = json.loads((folder / "case.json").read_text())["tolerance"]
    for name, value in ours.items():
        expected = case[f"out/{name}"]
        assert value.shape == expected.shape, name
        error = rel_l2(value.detach(), expected)
        print(f"loss: {name} rel_l2 {error:.1e}")
        assert error <= tolerance["rel_l2"], name


def make_companions(case):
    """Six companions of each golden clip. Not meaningful, only fixed; bf16 values, so that the file is exact and small."""
    random = np.random.default_rng(20)
    label = case["in/label"]
    blocks = {"text": [], "audio": [], "vision": []}
    sizes = {"text": TEXT_ROWS, "audio": AUDIO_ROWS, "vision": VISION_ROWS}
    inputs = {"text": case["in/text_hidden"], "audio": case["in/audio"], "vision": case["in/vision"]}
    for clip in range(len(label)):
        for companion in range(COMPANIONS):
            for name, full in inputs.items():
                rows = full[clip, : sizes[name]].numpy()
                # Same-label companions resemble their anchor, the others only partly.
                kept = 0.8 if companion < 2 else 0.2
                noise = random.standard_normal(rows.shape) * rows.std()
                blocks[name].append(kept * rows + (1 - kept) * noise)
    return {k: torch.tensor(np.stack(v)).to(torch.bfloat16) for k, v in blocks.items()}


RELEASED_DECAY = lambda name: not ("bias" in name or "LayerNorm.weight" in name)


def padded(features, rows):
    return torch.nn.functional.pad(features, (0, 0, 0, rows - features.shape[1]))


def train(case, companions, dtype, settings, decayed=RELEASED_DECAY, optimiser=torch.optim.AdamW, contrast_gradient=True):
    names = [
        k.removeprefix("weight/") for k in case if k.startswith("weight/") and ".projector.MLP." not in k
    ]
    weights = {n: case[f"weight/{n}"].to(dtype).requires_grad_() for n in names}
    model = DashFusion(weights)
    optimiser = optimiser(
        [
            {"params": [weights[n] for n in names if decayed(n)], "weight_decay": settings["weight_decay"]},
            {"params": [weights[n] for n in names if not decayed(n)], "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
        betas=BETAS,
        eps=EPS,
        foreach=False,
    )
    anchors = golden_clips(case)
    cast = lambda clips: {k: v if v.dtype == torch.bool else v.to(dtype) for k, v in clips.items()}
    count = len(companions["text"])
    others = clips_of(
        companions["text"].float(),
        torch.ones(count, TEXT_ROWS, dtype=torch.int64),
        padded(companions["audio"].float(), case["in/audio"].shape[1]),
        padded(companions["vision"].float(), case["in/vision"].shape[1]),
    )
    anchors, others, label = cast(anchors), cast(others), case["in/label"].to(dtype)

    def vectors_of(out):
        return [out["pool_t"], out["pool_v"], out["pool_a"], out["H"][:, 0]]

    history, first = [], {}
    for step in range(STEPS + 1):
        out = model.forward(anchors)
        beside = model.encode(others)
        blocks = [
            torch.cat([a[:, None], b.unflatten(0, (-1, COMPANIONS))], 1)
            for a, b in zip(vectors_of(out), vectors_of(beside))
        ]
        mse = torch.nn.functional.mse_loss(out["y"], label)
        contrast = contrastive(torch.cat(blocks, 1)).mean()
        total = mse + settings["contrastive_weight"] * (contrast if contrast_gradient else contrast.detach())
        row = {"step": step, "total": total.item(), "mse": mse.item(), "contrastive": contrast.item()}
        row["prediction"] = out["y"].tolist()
        history.append(row)
        if step == STEPS:
            break
        optimiser.zero_grad()
        total.backward()
        gradients = {n: w.grad for n, w in weights.items() if w.grad is not None}
        row["gradient_norm"] = torch.stack([g.norm() for g in gradients.values()]).norm().item()
        if step == 0:
            first = {n: g.norm().item() for n, g in sorted(gradients.items())}
        row["learning_rate"] = LEARNING_RATE * linear_schedule(step, WARMUP, STEPS)
        for group in optimiser.param_groups:
            group["lr"] = row["learning_rate"]
        optimiser.step()
    norms = {n: weights[n].norm().item() for n in NORMS}
    return {"history": history, "first_gradient_norms": first, "final_weight_norms": norms}


def distance(run, reference):
    """Largest relative difference of the total loss over the steps."""
    return max(abs(a["total"] / b["total"] - 1) for a, b in zip(run["history"], reference["history"]))


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, default=here / "../../kernels-tests/golden")
    parser.add_argument("--out", type=Path, default=here / "../../kernels-tests/training")
    parser.add_argument("--controls", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    check_loss(arguments.golden / "dash_loss_a")
    check_forward(arguments.golden / "dash_forward_mosi_a")

    case = load_file(arguments.golden / "dash_forward_mosi_a/tensors.safetensors")
    companions = make_companions(case)
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_file(companions, arguments.out / "dashfusion_parity.safetensors")
    runs, noise = {}, set()
    for name, chosen in RUNS.items():
        single, double = (train(case, companions, dtype, chosen) for dtype in (torch.float32, torch.float64))
        for row in single["history"]:
            print(f"step {row['step']:2} total {row['total']:.6f} mse {row['mse']:.6f} contrastive {row['contrastive']:.6f}")
        print(f"{name}: f32 against f64 at most {distance(single, double):.1e} relative in the total")
        # Gradients that are zero in exact arithmetic, such as those of key biases, are rounding noise: nothing to compare.
        gradients = double["first_gradient_norms"]
        noise |= {n for n, g in gradients.items() if g < 1e-12 * max(gradients.values())}
        single["first_gradient_norms"] = {n: g for n, g in single["first_gradient_norms"].items() if n not in noise}
        runs[name] = chosen | {"relative_distance_to_f64": distance(single, double)} | single
    if arguments.controls:
        for mistake, run, options in [
            ("no gradient of the contrastive loss", "released", {"contrast_gradient": False}),
            ("no gradient of the contrastive loss", "strong", {"contrast_gradient": False}),
            ("no decay", "strong", {"decayed": lambda _: False}),
            ("biases decayed too", "strong", {"decayed": lambda _: True}),
            ("no norm decayed", "strong", {"decayed": lambda n: RELEASED_DECAY(n) and "norm" not in n}),
            ("decay in the gradient", "strong", {"optimiser": torch.optim.Adam}),
        ]:
            wrong = train(case, companions, torch.float32, RUNS[run], **options)
            print(f"control: {mistake}: {distance(wrong, runs[run]):.1e} from {run}")

    settings = {
        "weights_and_anchors": "golden/dash_forward_mosi_a/tensors.safetensors",
        "companions": "training/dashfusion_parity.safetensors",
        "companions_per_clip": COMPANIONS,
        "mode": "compat",
        "steps": STEPS,
        "warmup_steps": WARMUP,
        "peak_learning_rate": LEARNING_RATE,
        "betas": BETAS,
        "eps": EPS,
        "not_decayed": ["bias", "LayerNorm.weight"],
        "dropout": 0.0,
        "gradient_clipping": None,
    }
    record = {
        "settings": settings,
        "torch": torch.__version__.split("+")[0],
        "zero_gradients": sorted(noise),
        "runs": runs,
    }
    (arguments.out / "dashfusion_parity.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
