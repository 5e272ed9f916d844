"""Clips a second of PyTorch on the golden model, to stand beside foveal's own figures on the same machine.

    python throughput.py [--device cpu|cuda] [--threads N] [--batch 16] [--bert none|small|base]

`--bert` puts an encoder of that size in front (random weights: time does not depend on them), `small` with 6 layers and
width 384, `base` with 12 and 768, fed 39 tokens. Scoring is one forward pass; training adds a backward pass and an AdamW step
on the squared error, without companions (each would be one more clip encoded).
"""

import argparse
import time
from pathlib import Path

import torch
from model import DashFusion
from safetensors.torch import load_file

TOKENS = 39
ENCODERS = {"small": (6, 384, 12), "base": (12, 768, 12)}


def encoder(size):
    from transformers import BertConfig, BertModel

    layers, width, heads = ENCODERS[size]
    config = BertConfig(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=heads, intermediate_size=4 * width,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    return BertModel(config, add_pooling_layer=False).train()


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, default=here / "../../kernels-tests/golden")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--bert", choices=["none", *ENCODERS], default="none")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device, batch = arguments.device, arguments.batch

    case = load_file(arguments.golden / "dash_forward_mosi_a/tensors.safetensors")
    weights = {k.removeprefix("weight/"): v.float() for k, v in case.items() if k.startswith("weight/")}
    bert = None
    width = 768
    if arguments.bert != "none":
        bert, width = encoder(arguments.bert).to(device), ENCODERS[arguments.bert][1]
        weights["text_encoder.projector.proj.0.weight"] = weights["text_encoder.projector.proj.0.weight"][:, :width]
    weights = {k: v.contiguous().to(device).requires_grad_() for k, v in weights.items()}
    model = DashFusion(weights)
    clips = {"text": torch.randn(batch, TOKENS, width, device=device)}
    clips["text_hidden"] = torch.zeros(batch, TOKENS, dtype=torch.bool, device=device)
    for name in ("audio", "vision"):
        _, rows, columns = case[f"in/{name}"].shape
        clips[name] = torch.randn(batch, rows, columns, device=device)
        clips[f"{name}_hidden"] = torch.zeros(batch, rows + 1, dtype=torch.bool, device=device)
    ids = torch.randint(1000, 30000, (batch, TOKENS), device=device)
    label = torch.randn(batch, device=device)
    trained = [*weights.values(), *(bert.parameters() if bert else [])]
    optimiser = torch.optim.AdamW(trained, lr=1e-5, weight_decay=1e-3)

    def forward():
        text = bert(ids).last_hidden_state if bert else clips["text"]
        return model.forward(clips | {"text": text})["y"]

    def score():
        with torch.no_grad():
            forward()

    def train():
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(forward(), label).backward()
        optimiser.step()

    for name, step in (("score", score), ("train", train)):
        step()
        times = []
        for _ in range(arguments.repeats):
            if device != "cpu":
                torch.cuda.synchronize()
            begun = time.perf_counter()
            step()
            if device != "cpu":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begun)
        best, worst = min(times), max(times)
        print(
            f"{name} bert={arguments.bert} batch={batch} {device} threads={arguments.threads} torch {torch.__version__}: "
            f"{batch / best:.2f} clips/s at best, {batch / worst:.2f} at worst of {len(times)}"
        )


if __name__ == "__main__":
    main()
