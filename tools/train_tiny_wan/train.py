"""Trains the tiny Wan model on the synthetic clips with flow matching. See README.md for the commands.

The first `--still-steps` steps use one-frame clips, which are cheap and teach colours and shapes; all later steps use
whole clips. The learning rate warms up, stays constant and falls to zero over the last part of the run, where
progress is counted in minutes (`--minutes`) or in steps (`--steps`, the reproducible choice).
"""

from __future__ import annotations

import argparse
import csv
import signal
import time
from pathlib import Path

import numpy as np
import torch

import data
import fast_attention
import model as tiny_wan
from optim import build_optimizers
from common import save_atomically

SHIFT = 3.0
VALIDATION_SIGMAS = (0.97, 0.9, 0.8, 0.6, 0.4, 0.2)


def shifted(u: torch.Tensor) -> torch.Tensor:
    return SHIFT * u / (1 + (SHIFT - 1) * u)


def flow_loss(transformer, context, clips, noise, sigma) -> torch.Tensor:
    """Mean squared error of the predicted velocity `noise - clip` at `(1 - sigma) clip + sigma noise`."""
    s = sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - s) * clips + s * noise
    with torch.autocast("cpu", torch.bfloat16):
        velocity = transformer(noisy, 1000 * sigma, context, return_dict=False)[0]
    return (velocity.float() - (noise - clips)).square().mean(dim=(1, 2, 3, 4))


class Ema:
    """Exponential moving average of all parameters, with a short memory at the start."""

    def __init__(self, modules: dict[str, torch.nn.Module], decay: float):
        self.decay = decay
        self.modules = modules
        self.shadow = {k: {n: p.detach().clone() for n, p in m.named_parameters()} for k, m in modules.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for key, module in self.modules.items():
            names, params = zip(*module.named_parameters())
            torch._foreach_lerp_([self.shadow[key][n] for n in names], list(params), weight)


def learning_rate_factor(step: int, progress: float, warmup: int, decay_from: float) -> float:
    ramp = min(1.0, (step + 1) / warmup)
    fall = 1.0 if progress < decay_from else max(0.0, (1 - progress) / (1 - decay_from))
    return ramp * fall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float)
    length.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and loss.csv")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=16, help="clips per step")
    parser.add_argument("--still-batch", type=int, default=128)
    parser.add_argument("--still-steps", type=int, default=500)
    parser.add_argument("--fine-steps", type=int, default=1027, help="first steps with objects on any whole pixel")
    parser.add_argument("--adam-lr", type=float, default=2e-3)
    parser.add_argument("--muon-lr", type=float, default=0.02, help="0 uses AdamW for everything")
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--decay-from", type=float, default=0.5, help="share of the run after which the rate falls")
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--drop-caption", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--log-every", type=int, default=25)
    parser.add_argument("--validate-every", type=int, default=250)
    parser.add_argument("--checkpoint-minutes", type=float, default=3)
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "checkpoint.pt"

    tokenizer = tiny_wan.build_tokenizer()
    text_encoder = tiny_wan.build_text_encoder(len(tokenizer)).train()
    transformer = tiny_wan.build_transformer().train()
    encode = tiny_wan.PromptEncoder(tokenizer, text_encoder)
    optimizers = build_optimizers(transformer, text_encoder, args.muon_lr, args.adam_lr)
    base_rates = [[group["lr"] for group in o.param_groups] for o in optimizers]
    modules = {"transformer": transformer, "text_encoder": text_encoder}
    ema = Ema(modules, args.ema)

    step, before = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for key, module in modules.items():
            module.load_state_dict(state[key])
            for name, value in state["ema"][key].items():
                ema.shadow[key][name].copy_(value)
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        step, before = state["step"], state["seconds"]
        print(f"resumed at step {step}", flush=True)

    fast_attention.install(transformer)
    run = transformer if args.no_compile else torch.compile(transformer, dynamic=False)

    # A fixed set of held-out pairs, noises and sigmas.
    rng = np.random.default_rng([args.seed, 1 << 40])
    held_out = [list(data.HELD_OUT_PAIRS[i % len(data.HELD_OUT_PAIRS)]) for i in range(2 * args.batch)]
    val_clips = torch.from_numpy(np.stack([data.render(data.random_scene(rng, o)) for o in held_out]))
    val_captions = [data.random_caption(rng, o) for o in held_out]
    val_noise = torch.randn(val_clips.shape, generator=torch.Generator().manual_seed(args.seed + 1))
    val_sigma = torch.tensor([VALIDATION_SIGMAS[i % len(VALIDATION_SIGMAS)] for i in range(len(held_out))])

    @torch.no_grad()
    def validate() -> float:
        """Validation loss of the averaged weights."""
        kept = {k: [p.detach().clone() for p in m.parameters()] for k, m in modules.items()}
        for key, module in modules.items():
            for name, p in module.named_parameters():
                p.copy_(ema.shadow[key][name])
        context = encode(val_captions)
        losses = [
            flow_loss(transformer, context[i : i + args.batch], val_clips[i : i + args.batch],
                      val_noise[i : i + args.batch], val_sigma[i : i + args.batch])
            for i in range(0, len(val_clips), args.batch)
        ]
        for key, module in modules.items():
            for p, value in zip(module.parameters(), kept[key]):
                p.copy_(value)
        return torch.cat(losses).mean().item()

    log_path = args.out / "loss.csv"
    fresh = not log_path.exists()
    log = log_path.open("a", newline="")
    writer = csv.writer(log)
    if fresh:
        writer.writerow(["step", "seconds", "stage", "loss", "loss_high_sigma", "grad_norm", "lr_factor", "val_loss"])

    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    start = time.monotonic()
    last_save = start
    window: list[tuple[float, float, float]] = []

    def save() -> None:
        save_atomically(checkpoint, {
            **{key: module.state_dict() for key, module in modules.items()},
            "ema": ema.shadow,
            "optimizers": [o.state_dict() for o in optimizers],
            "step": step,
            "seconds": before + time.monotonic() - start,
        })

    while True:
        elapsed = before + time.monotonic() - start
        progress = elapsed / (60 * args.minutes) if args.minutes else step / args.steps
        if progress >= 1 or stop:
            break
        factor = learning_rate_factor(step, progress, args.warmup, args.decay_from)
        for optimizer, rates in zip(optimizers, base_rates):
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * factor

        # All randomness of a step comes from (seed, step), so a resumed run sees the same batches.
        rng = np.random.default_rng([args.seed, step])
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        still = step < args.still_steps
        grid = 1 if step < args.fine_steps else data.GRID
        draw, size = (data.still_batch, args.still_batch) if still else (data.clip_batch, args.batch)
        clips, captions = draw(rng, size, grid)
        captions = ["" if rng.random() < args.drop_caption else c for c in captions]
        clips = torch.from_numpy(clips)
        noise = torch.randn(clips.shape, generator=generator)
        sigma = shifted((torch.arange(len(clips)) + torch.rand(len(clips), generator=generator)) / len(clips))

        losses = flow_loss(run, encode(captions), clips, noise, sigma)
        losses.mean().backward()
        params = [*transformer.parameters(), *text_encoder.parameters()]
        norm = torch.nn.utils.clip_grad_norm_(params, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        ema.update(step)
        step += 1

        losses = losses.detach()
        window.append((losses.mean().item(), losses[sigma > 0.8].mean().item(), float(norm)))
        if step % args.log_every == 0:
            mean = np.mean(window, axis=0)
            window.clear()
            val = f"{validate():.5f}" if step % args.validate_every == 0 and not still else ""
            elapsed = before + time.monotonic() - start
            row = [step, f"{elapsed:.1f}", "still" if still else "clip", *(f"{v:.5f}" for v in mean), f"{factor:.4f}", val]
            writer.writerow(row)
            log.flush()
            print(*row, flush=True)
        if time.monotonic() - last_save > 60 * args.checkpoint_minutes:
            save()
            last_save = time.monotonic()
    save()
    print(f"finished at step {step}", flush=True)


if __name__ == "__main__":
    main()
