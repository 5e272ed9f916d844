"""Muon (momentum with orthogonalised updates) for the matrices of the blocks; AdamW handles everything else."""

from __future__ import annotations

from collections import defaultdict

import torch


def orthogonalise(update: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration that pushes all singular values of each matrix of a stack towards one."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = update
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr: float, momentum: float = 0.95):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for shape, params in by_shape.items():
                updates = []
                for p in params:
                    state = self.state[p]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(p)
                    state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                    updates.append(p.grad.lerp(state["momentum"], group["momentum"]))
                updates = orthogonalise(torch.stack(updates))
                scale = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for p, update in zip(params, updates):
                    p.add_(update, alpha=-scale)


def build_optimizers(model, heads, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon takes the matrices of both towers' blocks; tables, norms, biases, the patch embedding, the merger and the
    auxiliary heads are AdamW's."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    matrices = [p for n, p in named if p.ndim == 2 and (".blocks." in n or ".layers." in n)]
    taken = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in taken] + [p for p in heads.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return [Muon(matrices, lr=muon_lr), adam]
