"""Muon (momentum with orthogonalised updates) for the matrices of the blocks; AdamW handles everything else."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))
from common import Muon  # noqa: E402


def build_optimizers(transformer, text_encoder, muon_lr: float, adam_lr: float):
    """Returns [Muon, AdamW]; with muon_lr 0 everything goes to AdamW."""
    matrices = [p for n, p in transformer.named_parameters() if n.startswith("blocks.") and p.ndim == 2]
    if muon_lr == 0:
        matrices = []
    taken = {id(p) for p in matrices}
    rest = [p for p in [*transformer.parameters(), *text_encoder.parameters()] if id(p) not in taken]
    adam = torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return ([Muon(matrices, lr=muon_lr)] if matrices else []) + [adam]
