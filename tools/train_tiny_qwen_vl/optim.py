"""Muon (momentum with orthogonalised updates) for the matrices of the blocks; AdamW handles everything else."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))
from common import Muon  # noqa: E402


def build_optimizers(model, heads, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon takes the matrices of both towers' blocks; tables, norms, biases, the patch embedding, the merger and the
    auxiliary heads are AdamW's."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    matrices = [p for n, p in named if p.ndim == 2 and (".blocks." in n or ".layers." in n)]
    taken = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in taken] + [p for p in heads.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return [Muon(matrices, lr=muon_lr, dtype=torch.float32), adam]
