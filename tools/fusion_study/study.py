"""Fusions of a sentiment model against each other, trained by the replica; and the table of a study, whoever trained it.

    python study.py run DATA … --bert FOLDER --out results/NAME.jsonl --models FOLDER
    python study.py table results/hierarchical.jsonl results/others.jsonl
    python study.py check evaluated.jsonl

`run` tries every setting of the grid with a seed of its own, takes for each fusion the one with the least error on `valid`, trains
that with the seeds of the study, and measures `test` once, at the epoch that was best on `valid`. Of the lines of foveal's example
`compare_fusions` they have what `table` reads; that program does not go on with them. What has its lines already is left out. `--models` gets every model of the study as foveal opens it, and `check` compares what
`compare_fusions evaluate` gives them with the replica's scores.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

FUSIONS = ["hierarchical", "concatenation", "late", "text", "audio", "vision"]
# (rate, dropout): as many trials for every fusion as there are seeds, so that one compilation serves both.
GRID = [(1e-3, 0.1), (3e-3, 0.1), (1e-2, 0.1), (3e-3, 0.4), (1e-2, 0.4)]
TUNING, SEEDS = 101, [1, 2, 3, 4, 5]
WEIGHT_DECAY = 1e-3


def sizes(data, description, width, levels, layers, fusion):
    """A configuration under the names of foveal's."""
    return {
        "text_width": data["train"]["text"].shape[2],
        "audio_width": description["audio_width"],
        "vision_width": description["vision_width"],
        "audio_frames": data["train"]["audio"].shape[1],
        "vision_frames": data["train"]["vision"].shape[1],
        "d_model": width,
        "heads": 4,
        "alignment_head_dim": width // 4,
        "ffn": 2 * width,
        "audio_layers": layers,
        "vision_layers": layers,
        "bottlenecks": tuple(levels),
        "position_dropout": 0.1,
        "encoder_dropout": 0.1,
        "fusion": fusion,
    }


def measures(scores, label):
    return {"mae": float(np.abs(scores - label).mean()), "corr": float(np.corrcoef(scores, label)[0, 1])}


def export(folder, config, weights, description, bert):
    """The model as foveal's `SentimentModel::open` reads it."""
    from safetensors.numpy import save_file

    (folder / "text_encoder").mkdir(parents=True, exist_ok=True)
    for file in bert.iterdir():
        to = folder / "text_encoder" / file.name
        if not to.exists():
            os.symlink(file.resolve(), to)
    told = {"format": "foveal-dashfusion", "version": 1, "model": config | {"bottlenecks": list(config["bottlenecks"])}}
    told |= {"convention": "mosi", "label_range": description["label_range"]}
    (folder / "sentiment.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    save_file({k: np.ascontiguousarray(v) for k, v in weights.items()}, folder / "model.safetensors")


def lines(paths):
    return [json.loads(line) for path in paths if path.exists() for line in path.read_text(encoding="utf-8").splitlines()]


def run(a):
    import clips
    import replica

    loaded = [(folder, *clips.load(folder, a.bert)) for folder in a.data]
    for fusion in a.fusions:
        for folder, data, description in loaded:
            config = sizes(data, description, a.width, a.levels, a.layers, fusion)
            asked = {"data": description["name"], "fusion": fusion, "width": a.width, "layers": a.layers}
            asked |= {"levels": a.levels, "batch": a.batch, "epochs": a.epochs}
            known = [line for line in lines([a.out]) if all(line[k] == v for k, v in asked.items())]
            parameters = sum(int(np.prod(shape)) for shape, _ in replica.taking_part(config).values())

            def go(trials, test):
                begun = time.process_time()
                history, weights, scores = replica.train(config, data, trials, a.epochs, a.batch, test=test)
                seconds = (time.process_time() - begun) / len(trials)
                made = []
                for i, (trial, epochs) in enumerate(zip(trials, history)):
                    best = min(range(len(epochs)), key=lambda e: epochs[e][1])
                    line = asked | trial | {"parameters": parameters, "epochs_run": a.epochs, "best_epoch": best + 1}
                    line |= {"train_mse": [epochs[best][0], epochs[-1][0]], "valid": {"mae": epochs[best][1]}}
                    line |= {"test": measures(scores[i], data["test"]["label"]) if test else None}
                    line |= {"seconds": round(seconds, 2), "adapter": "replica"}
                    line |= {"valid_by_epoch": [round(mae, 4) for _, mae in epochs]}
                    made.append(line)
                    if test and a.models:
                        name = f"{folder.name}_{fusion}_{trial['seed']}"
                        export(a.models / name, config, weights[i], description, a.bert)
                        told = [float(score) for score in scores[i]]
                        (a.models / name / "replica_scores.json").write_text(json.dumps(told))
                with a.out.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(line) + "\n" for line in made)
                return made

            tuned = [line for line in known if line["test"] is None]
            if not tuned:
                trial = {"weight_decay": WEIGHT_DECAY, "seed": TUNING}
                tuned = go([trial | {"rate": rate, "dropout": dropout} for rate, dropout in GRID], False)
            best = min(tuned, key=lambda line: line["valid"]["mae"])
            if all(line["test"] is None for line in known):
                trial = {k: best[k] for k in ("rate", "dropout", "weight_decay")}
                final = go([trial | {"seed": seed} for seed in SEEDS], True)
                found = [round(line["test"]["mae"], 3) for line in final]
                print(f"{description['name']}, {fusion}: rate {best['rate']}, dropout {best['dropout']}, test MAE {found}, "
                      f"{time.process_time():.0f} s of CPU time so far", flush=True)


def interval(values, random, draws=10_000):
    """Bootstrap interval (95 %) of the mean."""
    values = np.asarray(values)
    return np.quantile(random.choice(values, (draws, len(values))).mean(1), [0.025, 0.975])


def table(a):
    """Means, ranges, and differences from concatenation with the same seed, with their bootstrap intervals."""
    final = [line for line in lines(a.results) if line["test"]]
    for data in sorted({line["data"] for line in final}):
        print(f"{data}\n")
        print("| fusion | parameters | rate, dropout | MAE | correlation | MAE less concatenation's | train error² |")
        print("|---|---:|---|---:|---:|---:|---:|")
        here = [line for line in final if line["data"] == data]
        key = lambda line: (line["fusion"], line["width"], tuple(line["levels"]))
        groups = {}
        for line in here:
            groups.setdefault(key(line), {})[line["seed"]] = line
        plain = next((g for k, g in groups.items() if k[0] == "concatenation"), {})
        for (fusion, _, _), runs in groups.items():
            random = np.random.default_rng(0)
            mae, corr = (np.array([line["test"][k] for line in runs.values()]) for k in ("mae", "corr"))
            apart = [line["test"]["mae"] - plain[seed]["test"]["mae"] for seed, line in runs.items() if seed in plain]
            paired = "–"
            if fusion != "concatenation" and apart:
                low, high = interval(apart, random)
                paired = f"{np.mean(apart):+.3f} ({low:+.3f} to {high:+.3f})"
            one = next(iter(runs.values()))
            train = np.mean([line["train_mse"][0] for line in runs.values()])
            print(
                f"| {fusion} | {one['parameters']:,} | {one['rate']:g}, {one['dropout']:g} | "
                f"{mae.mean():.3f} ({mae.min():.3f}–{mae.max():.3f}) | "
                f"{corr.mean():.3f} ({corr.min():.3f}–{corr.max():.3f}) | {paired} | {train:.3f} |"
            )
        print()


def check(a):
    """The replica's scores of the test clips against foveal's by the same weights."""
    apart = []
    for line in lines([a.evaluated]):
        own = json.loads((Path(line["model"]) / "replica_scores.json").read_text(encoding="utf-8"))
        apart.append((np.abs(np.array(own) - line["scores"]).max(), line["model"]))
    print(f"{len(apart)} models, largest distance of a score {max(apart)[0]:.1e} ({max(apart)[1]})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("data", type=Path, nargs="+")
    one.add_argument("--bert", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--models", type=Path)
    one.add_argument("--fusions", nargs="+", default=FUSIONS, choices=FUSIONS)
    one.add_argument("--width", type=int, default=16)
    one.add_argument("--layers", type=int, default=1)
    one.add_argument("--levels", type=int, nargs="+", default=[8, 4])
    one.add_argument("--epochs", type=int, default=12)
    one.add_argument("--batch", type=int, default=32)
    one.set_defaults(do=run)
    two = commands.add_parser("table")
    two.add_argument("results", type=Path, nargs="+")
    two.set_defaults(do=table)
    three = commands.add_parser("check")
    three.add_argument("evaluated", type=Path)
    three.set_defaults(do=check)
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()
