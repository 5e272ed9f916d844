"""Fusions of a sentiment model against each other on one data set, by the replica.

    python study.py run DATA --bert FOLDER --out results/NAME.json --models FOLDER
    python study.py table results/NAME.json

`run` tunes every fusion on the same grid with seeds of their own, takes for each what has the least mean error on `valid`, trains
that with the seeds of the study, and measures `test` once, at the epoch that was best on `valid`. It goes on where it was
stopped. `--models` gets every trained model as foveal opens it, for `check.sh`. See README.md.
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

import clips
import numpy as np
import replica
from safetensors.numpy import save_file

FUSIONS = ["hierarchical", "concatenation", "late", "text", "audio", "vision"]


def sizes(data, description, width, levels, layers, fusion):
    """A configuration under the names of foveal's."""
    longest = {m: max(split[m].shape[1] for split in data.values()) for m in ("audio", "vision")}
    return {
        "text_width": data["train"]["text"].shape[2],
        "audio_width": description["audio_width"],
        "vision_width": description["vision_width"],
        "audio_frames": longest["audio"],
        "vision_frames": longest["vision"],
        "d_model": width,
        "heads": replica.HEADS,
        "alignment_head_dim": width // replica.HEADS,
        "ffn": 2 * width,
        "audio_layers": layers,
        "vision_layers": layers,
        "bottlenecks": tuple(levels),
        "position_dropout": replica.POSITION_DROPOUT,
        "encoder_dropout": 0.1,
        "fusion": fusion,
    }


def parameters(config):
    """Those that take part: the others never change."""
    fusion = config["fusion"]
    seen = {f"{m}_encoder" for m in replica.MODALITIES if fusion in (m, "hierarchical", "concatenation", "late")}
    seen |= {"temporal_alignment", "HBF"} if fusion == "hierarchical" else set()
    seen |= {"late_text", "late_audio", "late_vision"} if fusion == "late" else {"classifier"}
    return sum(int(np.prod(s)) for n, (s, _) in replica.layers_of(config).items() if n.split(".")[0] in seen)


def measures(scores, clips):
    """MAE and correlation, and the correlation of the scores with parts of the labels, where those are known."""
    label = clips["label"]
    found = {"mae": float(np.abs(scores - label).mean()), "corr": float(np.corrcoef(scores, label)[0, 1])}
    return {k: round(v, 5) for k, v in found.items()}


def score(config, weights, split):
    batch = {k: np.asarray(v) for k, v in split.items()}
    return np.asarray(replica.forward(config, weights, batch))


def export(folder, config, weights, description, bert):
    """The model as foveal's `SentimentModel::open` reads it."""
    (folder / "text_encoder").mkdir(parents=True, exist_ok=True)
    for file in bert.iterdir():
        to = folder / "text_encoder" / file.name
        if not to.exists():
            os.symlink(file.resolve(), to)
    told = {"format": "foveal-dashfusion", "version": 1, "model": config | {"bottlenecks": list(config["bottlenecks"])}}
    told |= {"convention": "mosi", "label_range": description["label_range"]}
    (folder / "sentiment.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    save_file(weights, folder / "model.safetensors")


def run(a):
    data, description = clips.load(a.data, a.bert)
    settings = {"data": description["name"], "clips": {k: len(v["label"]) for k, v in data.items()}}
    settings |= {k: getattr(a, k) for k in ("width", "layers", "levels", "epochs", "batch", "rates", "dropouts")}
    settings |= {"tune_seeds": a.tune_seeds, "seeds": a.seeds, "weight_decay": a.weight_decay, "ablation": a.ablation}
    median = np.abs(data["test"]["label"] - np.median(data["train"]["label"])).mean()
    study = {"settings": settings, "median_mae": round(float(median), 5), "fusions": {}}
    if a.out.exists():
        before = json.loads(a.out.read_text(encoding="utf-8"))
        if before["settings"] != settings:
            raise SystemExit(f"{a.out} is of a study with {before['settings']}, not {settings}")
        study = before
    for fusion in a.fusions:
        if fusion in study["fusions"]:
            continue
        config = sizes(data, description, a.width, a.levels, a.layers, fusion)
        begun = time.process_time()

        def go(trials):
            history, best = replica.train(config, data, trials, a.epochs, a.batch, a.ablation)
            rounded = [[[round(x, 4) for x in epoch] for epoch in one] for one in history]
            return rounded, best

        trials = [
            {"rate": rate, "dropout": dropout, "weight_decay": a.weight_decay, "seed": seed}
            for rate, dropout, seed in itertools.product(a.rates, a.dropouts, a.tune_seeds)
        ]
        history, _ = go(trials)
        tuned = {}
        for trial, epochs in zip(trials, history):
            tuned.setdefault((trial["rate"], trial["dropout"]), []).append(min(mae for _, mae in epochs))
        rate, dropout = min(tuned, key=lambda k: np.mean(tuned[k]))
        chosen = [
            {"rate": rate, "dropout": dropout, "weight_decay": a.weight_decay, "seed": seed} for seed in a.seeds
        ]
        history, best = go(chosen)
        runs = []
        for one, epochs, weights in zip(chosen, history, best):
            found = score(config, weights, data["test"])
            at = min(range(len(epochs)), key=lambda e: epochs[e][1])
            line = {"seed": one["seed"], "best_epoch": at + 1, "train_mse": epochs[at][0], "valid_mae": epochs[at][1]}
            runs.append(line | {"test": measures(found, data["test"]), "history": epochs})
            if a.models:
                export(a.models / f"{fusion}_{one['seed']}", config, weights, description, a.bert)
        study["fusions"][fusion] = {
            "parameters": parameters(config),
            "rate": rate,
            "dropout": dropout,
            "tuned": [{"rate": r, "dropout": d, "valid_mae": v} for (r, d), v in tuned.items()],
            "runs": runs,
            "cpu_seconds": round(time.process_time() - begun),
        }
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps(study).replace('{"seed"', '\n{"seed"').replace('"parameters"', '\n"parameters"') + "\n")
        print(f"{fusion}: {time.process_time() - begun:.0f} s of CPU time", flush=True)
    table(a)


def interval(values, random, draws=10_000):
    """Bootstrap interval (95 %) of the mean."""
    values = np.asarray(values)
    means = random.choice(values, (draws, len(values))).mean(1)
    return np.quantile(means, [0.025, 0.975])


def table(a):
    study = json.loads(a.out.read_text(encoding="utf-8"))
    random = np.random.default_rng(0)
    maes = {f: np.array([r["test"]["mae"] for r in v["runs"]]) for f, v in study["fusions"].items()}
    print(f"| fusion | parameters | MAE | correlation | MAE less concatenation's, by seed | train error² |")
    print("|---|---:|---:|---:|---:|---:|")
    for fusion, v in study["fusions"].items():
        mae, corr = maes[fusion], np.array([r["test"]["corr"] for r in v["runs"]])
        train = np.mean([r["train_mse"] for r in v["runs"]])
        paired = "–"
        if "concatenation" in maes and fusion != "concatenation":
            apart = mae - maes["concatenation"]
            low, high = interval(apart, random)
            paired = f"{apart.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        print(
            f"| {fusion} | {v['parameters']:,} | {mae.mean():.3f} ({mae.min():.3f}–{mae.max():.3f}) | "
            f"{corr.mean():.3f} ({corr.min():.3f}–{corr.max():.3f}) | {paired} | {train:.3f} |"
        )
    print(f"\nthe training clips' median for all: MAE {study['median_mae']:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("data", type=Path)
    one.add_argument("--bert", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--models", type=Path)
    one.add_argument("--fusions", nargs="+", default=FUSIONS, choices=FUSIONS)
    one.add_argument("--width", type=int, default=32)
    one.add_argument("--layers", type=int, default=1)
    one.add_argument("--levels", type=int, nargs="+", default=[8, 4])
    one.add_argument("--epochs", type=int, default=12)
    one.add_argument("--batch", type=int, default=32)
    one.add_argument("--rates", type=float, nargs="+", default=[1e-3, 3e-3])
    one.add_argument("--dropouts", type=float, nargs="+", default=[0.1, 0.4])
    one.add_argument("--weight-decay", type=float, default=1e-3)
    one.add_argument("--tune-seeds", type=int, nargs="+", default=[101])
    one.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    one.add_argument("--ablation", nargs="+", default=[], choices=["flat", "means", "scale"])
    one.set_defaults(do=run)
    two = commands.add_parser("table")
    two.add_argument("out", type=Path)
    two.set_defaults(do=table)
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()
