"""Why a fusion wins or loses: the replica with one thing changed at a time.

    python why.py run STAGE … --data FOLDER --bert FOLDER --out results/why.jsonl
    python why.py table results/why.jsonl

FOLDER holds `irony`, `turn`, `irony_4000` and `turn_4000` (README.md). `tune` finds rate and epochs of each fusion; the other
stages take them from the lines of `tune`. `test` is measured by stage `final` alone, for settings that the stages before it
chose on the validation clips. What has its lines already is left out.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from study import WEIGHT_DECAY, interval, lines, measures, sizes

HIERARCHICAL, CONCATENATION = "hierarchical", "concatenation"
RATES, TUNING = (3e-3, 1e-2, 3e-2), (101, 102)
TRIED, FINAL = (111, 112, 113), (1, 2, 3, 4, 5, 6)
BASE = {"width": 16, "levels": [8, 4], "head": 1, "contrast": 0.0}


def tuned(known, data, fusion):
    """Rate and epochs with the least mean error on the validation clips."""
    found = {}
    for line in known:
        if (line["stage"], line["set"], line["fusion"]) == ("tune", data, fusion):
            found.setdefault((line["rate"], line["epochs"]), []).append(line["valid"]["mae"])
    if not found:
        raise SystemExit(f"{data}, {fusion}: run stage tune first")
    rate, epochs = min(found, key=lambda k: np.mean(found[k]))
    return {"rate": rate}, epochs


def plan(stage, known):
    """Jobs of a stage: (data set, fusion, what differs from BASE, epochs, [(what is tried, seeds)])."""
    H, C = HIERARCHICAL, CONCATENATION
    if stage == "tune":
        for fusion in (H, C):
            for data, epochs in (("irony", 12), ("turn", 12), ("irony", 30)):
                yield data, fusion, {}, epochs, [({"rate": rate}, TUNING) for rate in RATES]
        return
    (irony, ie), (turn, te) = ([{f: tuned(known, data, f)[i] for f in (H, C)} for i in (0, 1)] for data in ("irony", "turn"))

    def each(base, *whats, seeds=TRIED):
        return [(base | what, seeds) for what in whats]

    if stage == "turn":
        yield "turn", C, {}, te[C], each(turn[C], {"told": 0}, {"told": 1})
        yield "turn", H, {}, te[H], each(turn[H], {"oracle": 1}, {"oracle": 1, "mean": 1})
        yield "turn", H, {}, te[H], each(turn[H], {"mean": 0}, {"mean": 1})
        yield "turn", H, {}, te[H], each(turn[H], {"clock": 1}, {"clock": 1, "mean": 1})
    if stage == "match":
        for data, base, epochs in (("irony", irony[C], ie[C]), ("turn", turn[C], te[C])):
            yield data, C, {"head": 5}, epochs, each({}, base, {"rate": 3e-3})
    if stage == "long":
        yield "turn", H, {}, 30, each(turn[H], {"clock": 0}, {"clock": 1})
        yield "turn", H, {}, 30, each(turn[H], {"share": 1}, {"clock": 1, "rate": 3e-3})
        yield "turn", C, {}, 30, each(turn[C], {"clock": 0}, {"clock": 1})
    if stage == "more":
        # As many steps as 32 epochs of 1,000 clips.
        yield "turn_4000", H, {}, 8, each(turn[H], {"share": 0}, {"share": 1})
        yield "turn_4000", C, {}, 8, each(turn[C], {"share": 0}, {"told": 1})
    if stage == "levels":
        yield "irony", H, {"levels": [8]}, ie[H], each(irony[H], {})
        yield "turn", H, {"levels": [8]}, 30, each(turn[H], {"share": 1})
    if stage == "contrast":
        for data, base in (("irony", irony[H]), ("turn", turn[H])):
            yield data, H, {"contrast": 0.2}, 12, each(base, {}, seeds=TUNING)
    if stage == "final":
        for fusion in (H, C):
            yield "irony", fusion, {}, ie[fusion], each(irony[fusion], {}, seeds=FINAL)
            yield "turn", fusion, {}, te[fusion], each(turn[fusion], {}, seeds=FINAL)
        yield "turn", H, {}, 30, each(turn[H], {"share": 1}, seeds=FINAL)
        yield "turn", C, {}, 30, each(turn[C], {"share": 1}, seeds=FINAL)
        yield "irony", C, {"head": 5}, ie[C], each(irony[C], {}, seeds=FINAL)


def run(a):
    import clips
    import replica

    folders = {}
    for stage in a.stages:
        for data, fusion, differs, epochs, tried in plan(stage, lines([a.out])):
            shape = BASE | differs
            asked = {"stage": stage, "set": data, "fusion": fusion} | shape | {"epochs": epochs}
            known = [line for line in lines([a.out]) if all(line[k] == v for k, v in asked.items())]
            plain = {"dropout": 0.1, "weight_decay": WEIGHT_DECAY} | dict.fromkeys(replica.ASKED, 0)
            runs = [plain | what | {"seed": seed} for what, seeds in tried for seed in seeds]
            if all(any(all(line.get(k, 0) == v for k, v in r.items()) for line in known) for r in runs):
                continue
            if data not in folders:
                folders.clear()
                folders[data] = clips.load(a.data / data, a.bert, times=True)
            splits, description = folders[data]
            config = sizes(
                splits, description, shape["width"], shape["levels"], 1, fusion
            )
            config |= {"head": shape["head"], "contrast": shape["contrast"]}
            parameters = sum(int(np.prod(s)) for s, _ in replica.taking_part(config).values())
            begun, test = time.process_time(), stage == "final"
            history, _, scores = replica.train(config, splits, runs, epochs, test=test, at_once=32, room=a.room)
            seconds = (time.process_time() - begun) / len(runs)
            with a.out.open("a", encoding="utf-8") as file:
                for i, (trial, by_epoch) in enumerate(zip(runs, history)):
                    best = min(range(epochs), key=lambda e: by_epoch[e][1])
                    line = asked | trial | {"clips": len(splits["train"]["label"]), "parameters": parameters}
                    line |= {"best_epoch": best + 1, "train_mse": [by_epoch[best][0], by_epoch[-1][0]]}
                    line |= {"valid": {"mae": by_epoch[best][1]}, "seconds": round(seconds, 2)}
                    line |= {"test": measures(scores[i], splits["test"]["label"]) if test else None}
                    line |= {"valid_by_epoch": [round(mae, 4) for _, mae in by_epoch]}
                    file.write(json.dumps(line) + "\n")
            for what, seeds in tried:
                found, history = history[: len(seeds)], history[len(seeds) :]
                best = [min(h, key=lambda e: e[1]) for h in found]
                print(f"{data} {fusion} {differs} {epochs} epochs {what}: valid MAE {[round(m, 3) for _, m in best]}, "
                      f"train error² {[round(t, 3) for t, _ in best]}, {time.process_time():.0f} s so far", flush=True)


def table(a):
    """A line for every setting: means over seeds, least and largest; then the differences of those measured on the test clips."""
    groups = {}
    usual = BASE | {"dropout": 0.1, "weight_decay": WEIGHT_DECAY, "mean": 0, "clock": 0, "share": 0, "oracle": 0, "told": 0}
    for line in lines(a.results):
        setting = [f"{k} {line[k]:g}" for k in ("rate", "epochs")]
        setting += [k if v == 0 and line[k] == 1 else f"{k} {line[k]}" for k, v in usual.items() if line[k] != v]
        groups.setdefault((line["stage"], line["set"], line["fusion"], ", ".join(setting)), {})[line["seed"]] = line
    print("| stage | data | fusion | setting | parameters | seeds | valid MAE | test MAE | test correlation | train error² | best epochs |")
    print("|---|---|---|---|---:|---:|---:|---:|---:|---:|---|")
    spread = lambda x: f"{np.mean(x):.3f} ({min(x):.3f}–{max(x):.3f})"
    for (*what, setting), runs in groups.items():
        runs = list(runs.values())
        test = [spread([r["test"][k] for r in runs]) if runs[0]["test"] else "–" for k in ("mae", "corr")]
        print(f"| {' | '.join([*what, setting])} | {runs[0]['parameters']:,} | {len(runs)} | "
              f"{spread([r['valid']['mae'] for r in runs])} | {' | '.join(test)} | {np.mean([r['train_mse'][0] for r in runs]):.3f} | "
              f"{' '.join(str(r['best_epoch']) for r in runs)} |")
    print("\n| data | hierarchical | less concatenation | MAE by seed |\n|---|---|---|---:|")
    final = {k[1:]: v for k, v in groups.items() if k[0] == "final"}
    for (data, fusion, setting), runs in final.items():
        for (other, plain, its), theirs in final.items():
            if (other, fusion, plain) == (data, HIERARCHICAL, CONCATENATION):
                apart = [line["test"]["mae"] - theirs[seed]["test"]["mae"] for seed, line in runs.items()]
                low, high = interval(apart, np.random.default_rng(0))
                print(f"| {data} | {setting} | {its} | {np.mean(apart):+.3f} ({low:+.3f} to {high:+.3f}) |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("stages", nargs="+")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--bert", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--room", type=int, default=4000, help="training clips that arrays have room for, for fewer compilations")
    one.set_defaults(do=run)
    two = commands.add_parser("table")
    two.add_argument("results", type=Path, nargs="+")
    two.set_defaults(do=table)
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()
