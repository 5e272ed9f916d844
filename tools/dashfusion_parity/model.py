"""DashFusion as released, in its compat behaviour, over a flat dictionary of weights under the released key names.

Everything that the released code computes after BERT, in the order in which it does: padded rows are zero vectors that
still take part in every softmax after the unimodal encoders, padded text rows become queries, and the fusion block
gets vision in the slots that its weight names call `a` and audio in those called `v`.

Shapes: B clips, Lt/La/Lv rows of text, audio and vision, d = 128. Masks are True where a row is padding.
"""

import torch
import torch.nn.functional as F

HEADS = 8
TEMPERATURE = 0.5
# Rows of the 28 vectors of one anchor: text 0-6, vision 7-13, audio 14-20, H[:, 0] 21-27. In each block the anchor comes
# first, then two positives and four negatives.
EFFECTIVE_PAIRS = [(0, 7), (0, 14), (0, 1), (0, 2), (7, 8), (7, 9), (14, 15), (14, 16), (21, 22), (21, 23)]
# The released index lists name 22 pairs. The anchors of the other twelve have no negative: their loss is exactly zero,
# but they count in the mean.
LISTED_PAIRS = 22


def attend(q, k, v, scale, hidden=None):
    """Multi-head attention of (B, Lq, n) over (B, Lk, n); `hidden` (B, Lk) takes keys out of the softmax."""
    heads = lambda x: x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
    scores = heads(q) @ heads(k).transpose(-1, -2) * scale
    if hidden is not None:
        scores = scores.masked_fill(hidden[:, None, None, :], -torch.inf)
    return (scores.softmax(-1) @ heads(v)).transpose(1, 2).flatten(-2)


def masked_mean(x, hidden):
    seen = (~hidden).unsqueeze(-1).to(x.dtype)
    return (x * seen).sum(1) / seen.sum(1)


class DashFusion:
    """`weights`: released names without `text_encoder.extractor.`; the aliases `projector.MLP.*` are not read."""

    def __init__(self, weights, layers=2, depth=2, bottleneck=8):
        self.w, self.layers, self.depth, self.bottleneck = weights, layers, depth, bottleneck

    def linear(self, x, name):
        return F.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], 1e-5)

    def ffn(self, x, name, second=3):
        return self.linear(F.gelu(self.linear(x, f"{name}.net.0")), f"{name}.net.{second}")

    def text(self, hidden_states, hidden):
        x = F.gelu(self.linear(hidden_states, "text_encoder.projector.proj.0"))
        x = F.gelu(self.linear(x, "text_encoder.projector.proj.2"))
        return self.norm(x, "text_encoder.projector.layernorm") * (~hidden).unsqueeze(-1)

    def stream(self, features, hidden, name):
        """The audio or vision encoder: (B, L, f) to (B, L + 1, d), the class row first."""
        position = f"{name}.encoder.pos_encoder"
        x = self.linear(features, f"{position}.proj")
        x = torch.cat([self.w[f"{position}.cls_token"].expand(len(x), -1, -1), x], 1)
        x = x + self.w[f"{position}.position_embeddings"][:, : x.shape[1]]
        for i in range(self.layers):
            layer = f"{name}.encoder.transformer_encoder.layers.{i}"
            packed = F.linear(x, self.w[f"{layer}.self_attn.in_proj_weight"], self.w[f"{layer}.self_attn.in_proj_bias"])
            q, k, v = packed.chunk(3, -1)
            mixed = attend(q, k, v, (x.shape[-1] // HEADS) ** -0.5, hidden)
            x = self.norm(x + self.linear(mixed, f"{layer}.self_attn.out_proj"), f"{layer}.norm1")
            x = self.norm(x + self.linear(F.gelu(self.linear(x, f"{layer}.linear1")), f"{layer}.linear2"), f"{layer}.norm2")
        return self.norm(x, f"{name}.layernorm") * (~hidden).unsqueeze(-1)

    def align(self, text, audio, vision):
        """H: text rows gather from audio and vision through one query and one output projection (inner width 256)."""
        p = "temporal_alignment"
        q = self.linear(text, f"{p}.to_q")
        scale = (q.shape[-1] // HEADS) ** -0.5
        gathered = sum(
            attend(q, self.linear(x, f"{p}.to_k_t{m}"), self.linear(x, f"{p}.to_v_t{m}"), scale)
            for m, x in (("a", audio), ("v", vision))
        )
        return text + self.linear(gathered, f"{p}.to_out.0")

    def branch(self, x, context, name):
        """x + LN(attention), then x + LN(FFN). No output projection; the scale is that of the full width d."""
        p = f"{name}.layers.0"
        q, k, v = (self.linear(s, f"{p}.0.fn.to_{t}") for s, t in ((x, "query"), (context, "key"), (context, "value")))
        x = x + self.norm(attend(q, k, v, x.shape[-1] ** -0.5), f"{p}.0.norm")
        return x + self.norm(self.ffn(x, f"{p}.1.fn"), f"{p}.1.norm")

    def fuse(self, h, text, audio, vision):
        """Hierarchical bottleneck fusion. Returns the bottleneck, the streams, and both after every level."""
        q, kept, trace = h, self.bottleneck, []
        streams = {"t": text, "a": vision, "v": audio}  # the released argument order
        for level in range(self.depth):
            q = attended = self.branch(q, q, f"HBF.encoder_q.{level}")
            q = q[:, :kept]
            p = f"HBF.encoder_q2tav.{level}"
            query = self.linear(q, f"{p}.to_q")
            scale = (q.shape[-1] // HEADS) ** -0.5
            q = q + sum(
                attend(query, self.linear(x, f"{p}.to_k_{m}"), self.linear(x, f"{p}.to_v_{m}"), scale)
                for m, x in streams.items()
            )
            q = self.norm(q, f"{p}.norm1")
            q = self.norm(q + self.ffn(q, f"{p}.ffn"), f"{p}.norm2")
            streams = {m: self.branch(x, q, f"HBF.encoder_{m}.{level}") for m, x in streams.items()}
            trace.append({"Q_selfatt": attended, "Q": q, "text": streams["t"], "vision": streams["a"], "audio": streams["v"]})
            kept = max(1, kept // 2)
        return q, streams, trace

    def encode(self, clips, drop_hidden=False):
        """The unimodal encoders and H, of `text` (B, Lt, 768), `audio`, `vision` and their `*_hidden` masks.

        `drop_hidden` (B = 1 only) takes hidden rows out after the encoders, as if there had been none.
        """
        x_t = self.text(clips["text"], clips["text_hidden"])
        x_a = self.stream(clips["audio"], clips["audio_hidden"], "audio_encoder")
        x_v = self.stream(clips["vision"], clips["vision_hidden"], "vision_encoder")
        pooled = {
            "pool_t": masked_mean(x_t, clips["text_hidden"]),
            "pool_a": masked_mean(x_a, clips["audio_hidden"]),
            "pool_v": masked_mean(x_v, clips["vision_hidden"]),
        }
        if drop_hidden:
            x_t, x_a, x_v = (
                x[:, ~clips[f"{name}_hidden"][0]] for name, x in (("text", x_t), ("audio", x_a), ("vision", x_v))
            )
        return pooled | {"X_t": x_t, "X_a": x_a, "X_v": x_v, "H": self.align(x_t, x_a, x_v)}

    def forward(self, clips, drop_hidden=False):
        e = self.encode(clips, drop_hidden)
        q, streams, trace = self.fuse(e["H"], e["X_t"], e["X_a"], e["X_v"])
        z = torch.cat([q[:, 0], streams["t"][:, 0], streams["a"][:, 0], streams["v"][:, 0]], -1)
        y = F.gelu(self.linear(z, "classifier.MLP.0"))
        y = self.linear(F.gelu(self.linear(y, "classifier.MLP.2")), "classifier.MLP.4")
        return e | {"z": z, "y": y.squeeze(-1), "trace": trace}


def pair_losses(vectors):
    """NT-Xent of (B, 28, d) for the ten effective pairs: the positive against the anchor's four negatives only."""
    unit = F.normalize(vectors, dim=-1)
    similarity = unit @ unit.transpose(-1, -2) / TEMPERATURE
    losses = []
    for anchor, positive in EFFECTIVE_PAIRS:
        block = anchor - anchor % 7
        columns = [positive, *range(block + 3, block + 7)]
        losses.append(-similarity[:, anchor, columns].log_softmax(-1)[:, 0])
    return torch.stack(losses, -1)


def contrastive(vectors):
    """Per clip; the mean is over the listed pairs, of which twelve are zero."""
    return pair_losses(vectors).sum(-1) / LISTED_PAIRS


def linear_schedule(step, warmup, total):
    """Factor on the learning rate of the 0-based `step`: it rises from 0, and would reach 0 at `total`."""
    return step / warmup if step < warmup else (total - step) / (total - warmup)
