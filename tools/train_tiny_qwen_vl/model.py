"""A lean Qwen2.5-VL: the published architecture and names, for one picture size and many questions behind one video.

Names of modules are those of the published checkpoints, so that a state dict is what goes on disk. What is left out is
generality: the layout of patches and prompts is the same for a whole batch, so masks and rotary angles are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

import data

GRID = data.SIDE // data.PATCH  # patches along a side
UNITS = GRID // data.MERGE  # tokens along a side


@dataclass(frozen=True)
class Config:
    vocab: int
    width: int = 192
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 384
    # The base is far below the published 10^6: with 16 pairs in a head that would leave rows and columns angles too small
    # to tell apart.
    theta: float = 300.0
    sections: tuple[int, int, int] = (5, 4, 15)
    eps: float = 1e-6
    vision_depth: int = 4
    vision_width: int = 96
    vision_heads: int = 3
    vision_ffn: int = 192
    window: int = 112
    full: tuple[int, ...] = (1, 3)

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def mrope(config: Config, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (length, head_dim / 2) of positions (3, length): pairs take their axis section by section."""
    pairs = config.head_dim // 2
    frequency = config.theta ** (-torch.arange(pairs, dtype=torch.float32) / pairs)
    axis = torch.repeat_interleave(torch.arange(3), torch.tensor(config.sections))
    angle = positions.float()[axis].T * frequency
    return angle.cos(), angle.sin()


class RmsNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


class Mlp(nn.Module):
    def __init__(self, width: int, ffn: int, bias: bool):
        super().__init__()
        self.gate_proj = nn.Linear(width, ffn, bias=bias)
        self.up_proj = nn.Linear(width, ffn, bias=bias)
        self.down_proj = nn.Linear(ffn, width, bias=bias)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class VisionAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x, cos, sin, mask):
        n, length, width = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, attn_mask=mask)
        return self.proj(x.transpose(1, 2).reshape(n, length, width))


class VisionBlock(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.norm1, self.norm2 = RmsNorm(c.vision_width), RmsNorm(c.vision_width)
        self.attn = VisionAttention(c.vision_width, c.vision_heads)
        self.mlp = Mlp(c.vision_width, c.vision_ffn, bias=True)

    def forward(self, x, cos, sin, mask):
        x = x + self.attn(self.norm1(x), cos, sin, mask)
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Conv3d(3, width, (data.TEMPORAL, data.PATCH, data.PATCH), bias=False)

    def forward(self, patches):
        return F.linear(patches, self.proj.weight.flatten(1))


class Merger(nn.Module):
    def __init__(self, width: int, out: int):
        super().__init__()
        self.ln_q = RmsNorm(width)
        wide = width * data.MERGE**2
        self.mlp = nn.Sequential(nn.Linear(wide, wide), nn.GELU(), nn.Linear(wide, out))

    def forward(self, x):
        return self.mlp(self.ln_q(x).reshape(*x.shape[:-2], -1, self.mlp[0].in_features))


class Vision(nn.Module):
    """Patches stay in the order of merged tokens; attention does not mind, so windows are a mask."""

    def __init__(self, c: Config):
        super().__init__()
        self.patch_embed = PatchEmbed(c.vision_width)
        self.blocks = nn.ModuleList(VisionBlock(c) for _ in range(c.vision_depth))
        self.merger = Merger(c.vision_width, c.width)
        self.full = c.full
        unit = torch.arange(UNITS)
        inner = torch.arange(data.MERGE)
        shape = (UNITS, UNITS, data.MERGE, data.MERGE)
        row = (unit[:, None, None, None] * data.MERGE + inner[None, None, :, None]).expand(shape).flatten()
        column = (unit[None, :, None, None] * data.MERGE + inner[None, None, None, :]).expand(shape).flatten()
        quarter = c.vision_width // c.vision_heads // 4
        frequency = 10000.0 ** (-torch.arange(quarter, dtype=torch.float32) / quarter)
        angle = torch.cat((row[:, None] * frequency, column[:, None] * frequency), dim=1)
        side = c.window // data.PATCH
        window = (row // side) * GRID + column // side
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        self.register_buffer("mask", window[:, None] == window[None, :], persistent=False)

    def forward(self, patches):
        """Patches (groups, 100, values) to tokens (groups, 25, width). Groups never see each other."""
        x = self.patch_embed(patches)
        for i, block in enumerate(self.blocks):
            x = block(x, self.cos, self.sin, None if i in self.full else self.mask)
        return self.merger(x)


class Attention(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.heads, self.kv_heads = c.heads, c.kv_heads
        self.q_proj = nn.Linear(c.width, c.heads * c.head_dim)
        self.k_proj = nn.Linear(c.width, c.kv_heads * c.head_dim)
        self.v_proj = nn.Linear(c.width, c.kv_heads * c.head_dim)
        self.o_proj = nn.Linear(c.heads * c.head_dim, c.width, bias=False)

    def split(self, x, heads: int):
        x = x.unflatten(-1, (heads, -1)).transpose(1, 2)
        return x if heads == self.heads else x.repeat_interleave(self.heads // self.kv_heads, dim=1)

    def keys(self, x, rope):
        return rotate(self.split(self.k_proj(x), self.kv_heads), *rope), self.split(self.v_proj(x), self.kv_heads)

    def attend(self, x, rope, k, v, **mask):
        q = rotate(self.split(self.q_proj(x), self.heads), *rope)
        out = F.scaled_dot_product_attention(q, k, v, **mask)
        return self.o_proj(out.transpose(1, 2).flatten(2))

    def map(self, x, rope, k, mask):
        """Logarithm of the attention of the heads that share the first key head, (batch, heads, rows, keys)."""
        group = self.heads // self.kv_heads
        q = rotate(self.split(self.q_proj(x), self.heads)[:, :group], *rope)
        scores = q @ k[:, :group].transpose(-1, -2) / q.shape[-1] ** 0.5
        return scores.masked_fill(~mask, float("-inf")).log_softmax(-1)


class Layer(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.self_attn = Attention(c)
        self.mlp = Mlp(c.width, c.ffn, bias=False)
        self.input_layernorm = RmsNorm(c.width, c.eps)
        self.post_attention_layernorm = RmsNorm(c.width, c.eps)

    def finish(self, x, attended):
        x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x))


class Text(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab, c.width)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.norm = RmsNorm(c.width, c.eps)


class TinyQwenVl(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.visual = Vision(config)
        self.model = Text(config)
        for name, p in self.named_parameters():
            if p.ndim > 1:
                nn.init.normal_(p, std=0.5 * p.flatten(1).shape[1] ** -0.5)
            elif name.endswith("bias"):
                nn.init.zeros_(p)
        nn.init.normal_(self.model.embed_tokens.weight, std=0.05)

    def embed(self, ids, video, tokens):
        """Prefix (batch, length, width) with the video's tokens (batch, video tokens, width) in their places."""
        x = self.model.embed_tokens(ids).expand(len(tokens), -1, -1).clone()
        x[:, video] = tokens
        return x

    def watch(self, prefix, rope, tap: int | None = None, no_further: bool = False):
        """Runs a prefix (batch, length, width): every layer's keys and values, and with `tap` the states behind that many
        layers, where it can end."""
        p, kept, tapped = prefix, [], None
        for i, layer in enumerate(self.model.layers):
            if i == tap:
                tapped = p
                if no_further:
                    break
            normed = layer.input_layernorm(p)
            k, v = layer.self_attn.keys(normed, rope)
            kept.append((k, v))
            if i + 1 < len(self.model.layers):  # nothing reads the prefix behind the last layer
                p = layer.finish(p, layer.self_attn.attend(normed, rope, k, v, is_causal=True))
        return kept, tapped

    def reply(self, kept, ids, rope, tap: int | None = None, looks: tuple[int, ...] = ()):
        """Logits of questions `ids` (batch, questions, length), each of which sees the prefix and itself. With `tap` also the
        states behind that many layers, and of the layers `looks` the logarithm of the attention of the heads that share the
        first key head to the prefix, (batch, questions, heads, length, prefix) each."""
        batch, many, length = ids.shape
        x = self.model.embed_tokens(ids.flatten(0, 1))
        past = kept[0][0].shape[2]
        mask = torch.ones(length, past + length, dtype=torch.bool).tril(past)
        tapped, maps = None, []
        for i, (layer, (k, v)) in enumerate(zip(self.model.layers, kept)):
            if i == tap:
                tapped = x.view(batch, many, length, -1)
            normed = layer.input_layernorm(x)
            own_k, own_v = layer.self_attn.keys(normed, rope)
            k = torch.cat((k.repeat_interleave(many, 0), own_k), dim=2)
            v = torch.cat((v.repeat_interleave(many, 0), own_v), dim=2)
            if i in looks:
                maps.append(layer.self_attn.map(normed, rope, k, mask)[..., :past].unflatten(0, (batch, many)))
            x = layer.finish(x, layer.self_attn.attend(normed, rope, k, v, attn_mask=mask))
        logits = F.linear(self.model.norm(x), self.model.embed_tokens.weight)
        logits = logits.view(batch, many, length, -1)
        return logits if tap is None else (logits, tapped, maps)


class TowerHeads(nn.Module):
    """Auxiliary heads on the vision tower's tokens: which thing they show and how its box lies around them."""

    def __init__(self, c: Config):
        super().__init__()
        self.norm = RmsNorm(c.width)
        self.colour = nn.Linear(c.width, len(data.COLOURS) + 1)
        self.shape = nn.Linear(c.width, len(data.SHAPES) + 1)
        self.near = nn.Linear(c.width, 4)

    def loss(self, tokens, target):
        x = self.norm(tokens)
        shown = target["colour"] > 0
        colour = F.cross_entropy(self.colour(x).flatten(0, -2), target["colour"].flatten())
        shape = F.cross_entropy(self.shape(x).flatten(0, -2), target["shape"].flatten())
        near = F.smooth_l1_loss(self.near(x[shown]), target["near"][shown], beta=0.1)
        return colour, shape, near


class ThingHeads(nn.Module):
    """Auxiliary heads that say of a state all of the thing that it is about."""

    def __init__(self, c: Config):
        super().__init__()
        self.norm = RmsNorm(c.width)
        self.steps = data.SIDE // data.GRID + 1
        self.box = nn.Linear(c.width, 4 * self.steps)
        self.onset = nn.Linear(c.width, data.SECONDS)
        self.colour = nn.Linear(c.width, len(data.COLOURS))
        self.shape = nn.Linear(c.width, len(data.SHAPES))

    def of_things(self, x, box, onset, colour, shape):
        """Losses of the box (number, 4) when it appeared, of that second, and of what it is, of normed states (number, width)."""
        what = F.cross_entropy(self.colour(x), colour) + F.cross_entropy(self.shape(x), shape)
        return F.cross_entropy(self.box(x).view(-1, self.steps), box.flatten()), F.cross_entropy(self.onset(x), onset), what


class TextHeads(ThingHeads):
    """Those on the language model's states at video tokens, of the thing that they show, and besides whether it appeared as
    the first or the last, and where and when they are themselves. Rotary angles hold the latter, but nothing has made it a
    part of the state."""

    def __init__(self, c: Config):
        super().__init__(c)
        self.now = nn.Linear(c.width, data.SECONDS)
        self.row = nn.Linear(c.width, UNITS)
        self.column = nn.Linear(c.width, UNITS)
        self.eldest = nn.Linear(c.width, 2)
        self.newest = nn.Linear(c.width, 2)

    def loss(self, states, target):
        """Losses of the box, of the second when it appeared, of the token's own second, row and column, of what it is, and of
        the order."""
        shown = target["colour"] > 0
        states = self.norm(states)
        own = torch.cartesian_prod(torch.arange(states.shape[1]), torch.arange(UNITS), torch.arange(UNITS))
        own = own.repeat(len(states), 1).T
        place = sum(
            F.cross_entropy(head(states).flatten(0, 2), axis)
            for head, axis in zip((self.now, self.row, self.column), own)
        )
        x, of_thing = states[shown], {name: values[shown] for name, values in target.items()}
        box, onset, what = self.of_things(x, of_thing["box"], of_thing["onset"], of_thing["colour"] - 1, of_thing["shape"] - 1)
        order = sum(F.cross_entropy(getattr(self, name)(x), of_thing[name]) for name in ("eldest", "newest"))
        return box, onset, place, what, order


class AskedHeads(ThingHeads):
    """Those on the states from a question's last token on, of the thing that is asked for. What an answer's tokens ask of
    these states comes one fact a token; which thing they are about is the same at each."""

    def loss(self, states, things):
        """Losses of the box, of the second and of what it is, states and things (number, ...) in the same order."""
        box = torch.tensor([t.box(t.onset) for t in things]) // data.GRID
        onset, colour, shape = torch.tensor([(t.onset, t.colour, t.shape) for t in things]).T
        return self.of_things(self.norm(states), box, onset, colour, shape)


class Heads(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.tower, self.text, self.asked = TowerHeads(c), TextHeads(c), AskedHeads(c)
