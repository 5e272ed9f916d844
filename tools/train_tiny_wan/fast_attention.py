"""Faster attention processors for training Wan on a CPU with bfloat16 matrix instructions.

They compute what `WanAttnProcessor` computes, on the same parameters. Two things differ: the rotary embedding is a
multiplication with a fixed matrix instead of strided writes, and attention is plain batched matrix products in
bfloat16 with a hand-written backward pass, which for short sequences takes half the time of the fused CPU kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.library.custom_op("tiny_wan::attention", mutates_args=())
def attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(q k^T) v over (batch * heads, tokens, head_dim), q already scaled. Returns output and weights."""
    p = torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1)
    return torch.bmm(p, v), p


@attention.register_fake
def _(q, k, v):
    return torch.empty_like(q), q.new_empty(q.shape[0], q.shape[1], k.shape[1])


@torch.library.custom_op("tiny_wan::attention_backward", mutates_args=())
def attention_backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    dv = torch.bmm(p.transpose(1, 2), grad)
    ds = torch._softmax_backward_data(torch.bmm(grad, v.transpose(1, 2)), p, -1, p.dtype)
    return torch.bmm(ds, k), torch.bmm(ds.transpose(1, 2), q), dv


@attention_backward.register_fake
def _(grad, q, k, v, p):
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _setup(ctx, inputs, output):
    ctx.save_for_backward(*inputs, output[1])


def _backward(ctx, grad, _grad_weights):
    return attention_backward(grad.contiguous(), *ctx.saved_tensors)


attention.register_autograd(_backward, setup_context=_setup)


def pair_rotation(head_dim: int) -> Tensor:
    """The matrix R with (x R)[2i] = -x[2i + 1] and (x R)[2i + 1] = x[2i]."""
    rotation = torch.zeros(head_dim, head_dim)
    even = torch.arange(0, head_dim, 2)
    rotation[even + 1, even] = -1.0
    rotation[even, even + 1] = 1.0
    return rotation


class FastAttention:
    """Processor for `attn1` (with rotary embedding) and `attn2` (text keys) of a `WanTransformerBlock`."""

    def __init__(self, head_dim: int, dtype: torch.dtype = torch.bfloat16):
        self.rotation = pair_rotation(head_dim).to(dtype)
        self.dtype = dtype

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):
        batch, tokens, width = hidden_states.shape
        heads, dim = attn.heads, width // attn.heads
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states

        def rotate(x):
            if rotary_emb is None:
                return x
            cos, sin = rotary_emb
            x = x.unflatten(-1, (heads, dim))
            return (x * cos + torch.matmul(x.to(self.dtype), self.rotation) * sin).flatten(2)

        def pack(x):
            x = x.to(self.dtype).unflatten(-1, (heads, dim))
            return x.transpose(1, 2).reshape(batch * heads, -1, dim)

        q = pack(rotate(attn.norm_q(attn.to_q(hidden_states))) * dim**-0.5)
        k = pack(rotate(attn.norm_k(attn.to_k(context))))
        v = pack(attn.to_v(context))
        out, _ = attention(q, k, v)
        out = out.view(batch, heads, tokens, dim).transpose(1, 2).reshape(batch, tokens, width)
        return attn.to_out[0](out)


def install(model) -> None:
    """Puts the fast processors into a `WanTransformer3DModel`."""
    for block in model.blocks:
        block.attn1.set_processor(FastAttention(model.config.attention_head_dim))
        block.attn2.set_processor(FastAttention(model.config.attention_head_dim))
