"""How much of the label plain linear regressions read off each modality alone and off all of them.

    python check.py DATA [DATA ...] --bert FOLDER

Ridge regressions on pooled features, their strength chosen on `valid`, figures on `test`. Words are pooled as the mean of
the rows that the frozen BERT of `fetch_bert.py` gives, audio and vision as mean and deviation of each column with the
number of rows. Several folders give mean and deviation over them. Clips without a modality are left out.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

STRENGTHS = 10.0 ** np.arange(-2, 5)


def embed(texts, folder):
    import torch
    from transformers import BertModel, BertTokenizer

    torch.set_num_threads(1)
    tokenizer = BertTokenizer.from_pretrained(folder, local_files_only=True)
    model = BertModel.from_pretrained(folder, local_files_only=True).eval()
    rows = []
    with torch.no_grad():
        for start in range(0, len(texts), 50):
            tokens = tokenizer(texts[start : start + 50], padding=True, return_tensors="pt")
            mask = tokens["attention_mask"].unsqueeze(-1)
            rows.append((model(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1))
    return torch.cat(rows).numpy().astype(np.float64)


def pooled(rows):
    return np.concatenate([rows.mean(0), rows.std(0), [len(rows)]])


def read(folder, bert):
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "features.safetensors")
    splits = {}
    for name, clips in description["splits"].items():
        clips = [c for c in clips if c["audio"][1] and c["vision"][1]]
        splits[name] = {
            "label": np.array([c["label"] for c in clips]),
            "text": embed([c["text"] for c in clips], bert),
        } | {k: np.stack([pooled(tensors[k][c[k][0] : sum(c[k])]) for c in clips]) for k in ("audio", "vision")}
    return splits


def ridge(splits, modalities):
    stacked = {s: np.concatenate([v[m] for m in modalities], 1) for s, v in splits.items()}
    mean, deviation = stacked["train"].mean(0), stacked["train"].std(0) + 1e-9
    x = {s: (v - mean) / deviation for s, v in stacked.items()}
    y = {s: v["label"] for s, v in splits.items()}
    offset = y["train"].mean()
    gram, right = x["train"].T @ x["train"], x["train"].T @ (y["train"] - offset)
    fits = [np.linalg.solve(gram + a * np.eye(len(gram)), right) for a in STRENGTHS]
    best = min(fits, key=lambda w: np.abs(x["valid"] @ w + offset - y["valid"]).mean())
    predicted, true = x["test"] @ best + offset, y["test"]
    signed = true != 0
    return {
        "MAE": np.abs(predicted - true).mean(),
        "Corr": np.corrcoef(predicted, true)[0, 1],
        "Acc-2": ((predicted > 0) == (true > 0))[signed].mean(),
        "R2": 1 - ((predicted - true) ** 2).mean() / true.var(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--bert", type=Path, required=True)
    arguments = parser.parse_args()
    everything = [read(folder, arguments.bert) for folder in arguments.data]
    constant = [np.abs(s["test"]["label"] - np.median(s["train"]["label"])).mean() for s in everything]
    print(f"always the median of train: MAE {np.mean(constant):.3f}")
    alone = [["text"], ["audio"], ["vision"]]
    for modalities in [*alone, ["text", "audio"], ["text", "vision"], ["audio", "vision"], sum(alone, [])]:
        scores = [ridge(splits, modalities) for splits in everything]
        figures = [
            f"{k} {np.mean([s[k] for s in scores]):.3f} ± {np.std([s[k] for s in scores]):.3f}" for k in scores[0]
        ]
        print(f"{' + '.join(modalities):22} " + "  ".join(figures))


if __name__ == "__main__":
    main()
