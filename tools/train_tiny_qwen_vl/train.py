"""Trains tiny-qwen-vl in three stages. See README.md for the commands.

1. `tower`: the vision tower alone on single seconds, with the auxiliary heads as the only loss. What every token should
   know (which thing, where its edges are) is a dense target, so that this takes minutes.
2. `watch`: the first layers of the language model on whole clips without a question, with auxiliary heads again.
3. `answer`: questions about clips of some seconds, by turns. Short ones are cheap and have few tokens to choose from, so
   that finding the right one is learnt there first.

In 2 and 3 the tower is frozen, and prompts with and without stated times take turns.
"""

from __future__ import annotations

import argparse
import csv
import queue
import signal
import threading
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import data
import export
import model as tiny
import prompts
import tokenizer as tok
from optim import build_optimizers
from common import save_atomically

# Layers of the language model of which the heads of one key head learn to look at what is asked for.
LOOKS = (3, 4)
STAGES = ("tower", "watch", "answer")
COLUMNS = (
    "stage", "step", "seconds", "loss", "tower_colour", "tower_shape", "tower_near", "text_box", "text_onset", "text_place", "text_what",
    "text_order", "asked_box", "asked_onset", "asked_what", "asked_look", "answer", "grad_norm", "rate", "val_order", "val_word", "val_time", "val_box", "val_iou", "val_joint",
)


def make_batch(seed: int, stage: str, step: int, size: int, many: int, seconds: int) -> dict:
    """All that a step needs from (seed, stage, step), so that a resumed run sees the same batches."""
    rng = np.random.default_rng([seed, STAGES.index(stage), step])
    if stage == "answer" and seconds == 1:  # short prompts are cheap, and at most three things can be asked about
        size, many = 2 * size, many - 1
    # A thing that has drifted stands anywhere, so that is what the tower must know.
    kind = {"least": 0, "grid": 1} if stage == "tower" else {}
    clips = [data.training_clip(rng, seconds, **kind) for _ in range(size)]
    targets = [data.token_targets(things, seconds) for _, things in clips]
    batch = {
        "patches": torch.from_numpy(np.stack([p for p, _ in clips])),
        "targets": {k: torch.from_numpy(np.stack([t[k] for t in targets])) for k in targets[0]},
        "things": [things for _, things in clips],
        "exact": bool(rng.integers(2)),
    }
    if stage == "answer":
        batch["asked"] = [data.training_questions(rng, things, many, seconds) for _, things in clips]
    return batch


class Feeder:
    """Draws the next batches in a thread while the model computes."""

    def __init__(self, start: int, make):
        self.queue: queue.Queue = queue.Queue(maxsize=3)
        self.stopped = threading.Event()

        def work():
            step = start
            while not self.stopped.is_set():
                try:
                    item = make(step)
                except Exception as error:  # handed on, or the training would wait for ever
                    item = error
                while not self.stopped.is_set():
                    try:
                        self.queue.put(item, timeout=0.5)
                        break
                    except queue.Full:
                        pass
                step += 1

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def next(self):
        item = self.queue.get()
        if isinstance(item, Exception):
            raise item
        return item

    def stop(self):
        self.stopped.set()
        self.thread.join()


class Layouts:
    """Prefixes and rotary angles by number of seconds and stated times."""

    def __init__(self, tokenizer, config: tiny.Config):
        self.tokenizer, self.config, self.known = tokenizer, config, {}

    def get(self, seconds: int, times: list[str] | None):
        key = (seconds, tuple(times or ()))
        if key not in self.known:
            p = prompts.prefix(self.tokenizer, times, seconds)
            rope = tiny.mrope(self.config, torch.from_numpy(p.positions))
            behind = p.next + torch.arange(prompts.LENGTH)
            self.known[key] = (
                torch.from_numpy(p.ids), torch.from_numpy(p.video), rope, tiny.mrope(self.config, behind.expand(3, -1)),
            )
        return self.known[key]


def answer_loss(logits, question, weights):
    logits, target, weight = logits[:, :, :-1], question[:, :, 1:], weights[:, :, :-1]
    some = weight > 0
    return (F.cross_entropy(logits[some], target[some], reduction="none") * weight[some]).sum() / weight.sum()


def shown_by(batch, length: int, video) -> torch.Tensor:
    """Which tokens of the prefix show the thing that is asked for when it appears, (batch, questions, length)."""
    targets = batch["targets"]
    of_clip = torch.zeros(len(batch["asked"]), len(batch["asked"][0]), length, dtype=torch.bool)
    for b, asked in enumerate(batch["asked"]):
        for q, (_, thing) in enumerate(asked):
            tokens = torch.zeros_like(targets["colour"][b], dtype=torch.bool)
            tokens[thing.onset] = targets["colour"][b, thing.onset] == 1 + thing.colour
            of_clip[b, q, video] = tokens.flatten()
    return of_clip


def look_loss(maps, where, tokens) -> torch.Tensor:
    """What the heads lack that should look at `tokens`: minus the logarithm of their mass there, at the positions `where`."""
    there = torch.stack([m.masked_fill(~tokens[:, :, None, None], float("-inf")).logsumexp(-1) for m in maps])
    return -there.permute(1, 2, 4, 0, 3)[where & tokens.any(-1, keepdim=True)].mean()


def teacher_forced(tokenizer, logits, question, weights, batch) -> np.ndarray:
    """Word of first and last, word, time, box (IoU of at least half), mean IoU, joint: of the likeliest tokens where each saw the true ones
    before it. Quicker than free answers and close to them."""
    scores = []
    best = logits.argmax(-1)
    for b, asked in enumerate(batch["asked"]):
        for q, (_, thing) in enumerate(asked):
            places = weights[b, q].nonzero()[:, 0]
            scores.append(data.score(data.read_answer(tokenizer.decode(best[b, q, places].tolist())), thing))
    order = [word for (word, *_), (question, _) in zip(scores, sum(batch["asked"], [])) if question in data.FIRST + data.LAST]
    return np.array([np.mean(order), *np.mean(scores, axis=0)])


class Ema:
    """Exponential moving average of all parameters, with a short memory at the start."""

    def __init__(self, module, decay: float):
        self.decay, self.module = decay, module
        self.shadow = {n: p.detach().clone() for n, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        names, params = zip(*self.module.named_parameters())
        torch._foreach_lerp_([self.shadow[n] for n in names], list(params), 1 - min(self.decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the averages with the module's weights; a second call undoes it."""
        for name, p in self.module.named_parameters():
            kept = p.detach().clone()
            p.copy_(self.shadow[name])
            self.shadow[name].copy_(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoints and loss.csv")
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--from-run", type=Path, help="checkpoint of the stage before; its averaged weights are the start")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float)
    length.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--questions", type=int, default=4, help="questions behind one clip")
    parser.add_argument("--turns", type=int, nargs="+", default=[8, 3, 8, 1, 8], help="seconds of successive clips; `answer`")
    parser.add_argument("--adam-lr", type=float, default=2e-3)
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--decay-from", type=float, default=0.4, help="share of the stage after which the rate falls")
    parser.add_argument("--ema", type=float, default=0.995)
    parser.add_argument("--text-aux", type=float, default=0.3, help="weight of the auxiliary heads in the language model")
    parser.add_argument("--asked-aux", type=float, default=0.2, help="weight of the auxiliary heads on what is asked for")
    parser.add_argument("--tap", type=int, default=3, help="layers before those heads")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--log-every", type=int, default=25)
    parser.add_argument("--validate-every", type=int, default=100)
    parser.add_argument("--save-minutes", type=float, default=4)
    parser.add_argument("--export", type=Path, help="folder of the model that every save writes anew")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / f"{args.stage}.pt"
    tokenizer = tok.build()
    config = tiny.Config(vocab=tok.rows(tokenizer))
    model = tiny.TinyQwenVl(config)
    heads = tiny.Heads(config)
    both = torch.nn.ModuleDict({"model": model, "heads": heads})
    if args.from_run:
        both.load_state_dict(torch.load(args.from_run, weights_only=True)["ema"], strict=False)
    tower = args.stage == "tower"
    for p in (*model.visual.parameters(), *heads.tower.parameters()):
        p.requires_grad_(tower)
    if args.stage == "watch":  # the question's layers stand still
        for layer in model.model.layers[args.tap :]:
            layer.requires_grad_(False)
        model.model.norm.requires_grad_(False)
    optimizers = build_optimizers(model, heads, args.muon_lr, args.adam_lr)
    base_rates = [[group["lr"] for group in o.param_groups] for o in optimizers]
    ema = Ema(both, args.ema)
    step, before = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        both.load_state_dict(state["both"])
        for name, value in state["ema"].items():
            ema.shadow[name].copy_(value)
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        step, before = state["step"], state["seconds"]
        print(f"resumed at step {step}", flush=True)

    layouts = Layouts(tokenizer, config)
    trained = [p for p in both.parameters() if p.requires_grad]

    def losses(batch, number: int):
        """The parts of the loss by name; answers' logits for the measures."""
        if "tokens" not in batch:
            with torch.set_grad_enabled(tower and torch.is_grad_enabled()):
                tokens = model.visual(batch["patches"].flatten(0, 1)).unflatten(0, batch["patches"].shape[:2])
            batch["tokens"] = tokens
        tokens = batch["tokens"]
        colour, shape, near = heads.tower.loss(tokens, batch["targets"])
        parts = {"tower_colour": colour, "tower_shape": shape, "tower_near": near}
        if tower:
            return parts, colour + shape + 4 * near, None
        # The turns must be odd in number for each to come with and without.
        stated = number % 2 == 1 and tokens.shape[1] > 1
        times = data.stated_times(batch["exact"])[: tokens.shape[1]] if stated else None
        ids, video, prefix_rope, rope = layouts.get(tokens.shape[1], times)
        x = model.embed(ids, video, tokens.flatten(1, 2))
        kept, tapped = model.watch(x, prefix_rope, args.tap, no_further=args.stage == "watch")
        states = tapped[:, video].unflatten(1, tokens.shape[1:3])
        box, onset, place, what, order = heads.text.loss(states, batch["targets"])
        parts |= {"text_box": box, "text_onset": onset, "text_place": place, "text_what": what, "text_order": order}
        seen = box + what
        if tokens.shape[1] > 1:  # time says nothing in one second
            seen = seen + onset + place + order
        if args.stage == "watch":
            return parts, seen, None
        packed = [prompts.pack(tokenizer, [(q, data.answer(t)) for q, t in asked]) for asked in batch["asked"]]
        question = torch.from_numpy(np.stack([p[0] for p in packed]))
        weights = torch.from_numpy(np.stack([p[1] for p in packed]))
        logits, states, maps = model.reply(kept, question, rope, config.layers - 1, LOOKS)
        answer = answer_loss(logits, question, weights)
        where = weights > 0
        things = [batch["asked"][b][q][1] for b, q, _ in where.nonzero().tolist()]
        box, onset, what = heads.asked.loss(states[where], things)
        look = look_loss(maps, where, shown_by(batch, len(ids), video))
        parts |= {"asked_box": box, "asked_onset": onset, "asked_what": what, "asked_look": look, "answer": answer}
        loss = answer + args.text_aux * seen + args.asked_aux * (box + onset + what + look)
        return parts, loss, (logits, question, weights)

    @torch.no_grad()
    def validate() -> np.ndarray:
        """Mean measures of the averaged weights on fixed clips from another seed."""
        ema.swap()
        found = []
        for i in range(4):
            batch = make_batch(args.seed + 1_000_000, "answer", i, 16, args.questions, data.SECONDS)
            _, _, said = losses(batch, i)
            found.append(teacher_forced(tokenizer, *said, batch))
        ema.swap()
        return np.mean(found, axis=0)

    log_path = args.out / "loss.csv"
    fresh = not log_path.exists()
    log = log_path.open("a", newline="")
    writer = csv.DictWriter(log, COLUMNS)
    if fresh:
        writer.writeheader()
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    start = time.monotonic()
    last_save = start
    window: list[dict[str, float]] = []

    def save() -> None:
        save_atomically(checkpoint, {
            "both": both.state_dict(), "ema": ema.shadow, "optimizers": [o.state_dict() for o in optimizers],
            "step": step, "seconds": before + time.monotonic() - start,
        })
        if args.export:
            export.export(export.averaged(checkpoint), config, args.export)

    # While it only watches, the frozen tower's tokens serve two steps: one with and one without stated times.
    uses, batch = 2 if args.stage == "watch" else 1, None
    turns = {"tower": [1], "watch": [data.SECONDS]}.get(args.stage, args.turns)

    def draw(number: int) -> dict:
        return make_batch(args.seed, args.stage, number, args.batch, args.questions, turns[number % len(turns)])

    feeder = Feeder(step // uses, draw)
    while True:
        elapsed = before + time.monotonic() - start
        progress = elapsed / (60 * args.minutes) if args.minutes else step / args.steps
        if progress >= 1 or stop:
            break
        fall = 1.0 if progress < args.decay_from else (1 - progress) / (1 - args.decay_from)
        factor = min(1.0, (step + 1) / args.warmup) * max(fall, 0.02)
        for optimizer, rates in zip(optimizers, base_rates):
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * factor
        if step % uses == 0 or batch is None:
            batch = feeder.next()
        parts, loss, _ = losses(batch, step)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        ema.update(step)
        step += 1
        window.append({k: v.item() for k, v in parts.items()} | {"loss": loss.item(), "grad_norm": norm.item()})
        if step % args.log_every == 0:
            row = {k: f"{np.mean([w[k] for w in window]):.4f}" for k in window[0]}
            window.clear()
            row |= {"stage": args.stage, "step": step, "rate": f"{factor:.3f}"}
            row["seconds"] = f"{before + time.monotonic() - start:.0f}"
            if args.stage == "answer" and step % args.validate_every == 0:
                row |= dict(zip(COLUMNS[-6:], (f"{v:.3f}" for v in validate())))
            writer.writerow(row)
            log.flush()
            print(*(f"{k}={row[k]}" for k in COLUMNS if k in row), flush=True)
        if time.monotonic() - last_save > 60 * args.save_minutes:
            save()
            last_save = time.monotonic()
    feeder.stop()
    save()
    print(f"finished at step {step}", flush=True)


if __name__ == "__main__":
    main()
