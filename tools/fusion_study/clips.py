"""Clips of a folder in foveal's format as padded arrays, their texts read by a frozen BERT."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

BATCH = 128
# Rows that every clip is padded to, where none is longer: data sets of one shape need one compilation.
ROWS = {"text": 24, "audio": 22, "vision": 22}


def hidden(folder, texts):
    """The hidden states (texts, tokens, width) of a `BertModel` in a Hugging Face folder, and the numbers of tokens."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    w = {k: jnp.asarray(v) for k, v in load_file(folder / "model.safetensors").items()}
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    ids = [tokenizer.encode(text).ids for text in texts]
    rows = np.array([len(x) for x in ids])
    padded = np.zeros((-(-len(ids) // BATCH) * BATCH, max(rows.max(), ROWS["text"])), int)
    for to, x in zip(padded, ids):
        to[: len(x)] = x
    lengths = np.pad(rows, (0, len(padded) - len(rows)), constant_values=1)
    heads = config["num_attention_heads"]

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        y = centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return y * w[f"{name}.weight"] + w[f"{name}.bias"]

    @jax.jit
    def run(ids, lengths):
        places = w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = w["embeddings.word_embeddings.weight"][ids] + places + w["embeddings.token_type_embeddings.weight"][0]
        x = norm(x, "embeddings.LayerNorm")
        padding = jnp.arange(ids.shape[1])[None] >= lengths[:, None]
        for i in range(config["num_hidden_layers"]):
            at = f"encoder.layer.{i}"
            q, k, v = (
                linear(x, f"{at}.attention.self.{t}").reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)
                for t in ("query", "key", "value")
            )
            scores = jnp.where(padding[:, None, None], -1e30, q @ k.transpose(0, 1, 3, 2) * q.shape[-1] ** -0.5)
            o = (jax.nn.softmax(scores, -1) @ v).transpose(0, 2, 1, 3).reshape(x.shape)
            x = norm(x + linear(o, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
            y = jax.nn.gelu(linear(x, f"{at}.intermediate.dense"), approximate=False)
            x = norm(x + linear(y, f"{at}.output.dense"), f"{at}.output.LayerNorm")
        return x

    starts = range(0, len(padded), BATCH)
    found = [np.asarray(run(padded[i : i + BATCH], lengths[i : i + BATCH])) for i in starts]
    return np.concatenate(found)[: len(texts)], rows


def timed(clips, how, bert, tokens):
    """When tokens and rows of simulated clips are heard and seen, by `how.json`, for diagnosis: `text_time` (clips, tokens),
    `audio_time` … (clips, rows), -1 where there is no time; `audio_theirs` … (clips, tokens, class token and rows), what a token's
    word lasts over; `text_share` …, what part of the clip has passed, by letters and by rows; and `text_told` (clips, tokens), tokens of the word that counts (of the text, where all do).
    """
    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    tokenizer.no_padding()
    made = {"text_time": np.full((len(clips), tokens), -1, np.float32), "text_told": np.zeros((len(clips), tokens), np.float32)}
    made["text_share"] = np.zeros((len(clips), tokens), np.float32)
    begins = {"audio": 0.05, "vision": 0.0}
    for m, begin in begins.items():
        at = (begin + np.arange(ROWS[m], dtype=np.float32) * how["thin"] / 10)[None]
        made[f"{m}_time"] = np.where(np.arange(ROWS[m])[None] < [[c[m][1]] for c in clips], at, -1).astype(np.float32)
        made[f"{m}_share"] = (np.arange(ROWS[m])[None] + 0.5) / np.array([[c[m][1]] for c in clips], np.float32)
        made[f"{m}_theirs"] = np.ones((len(clips), tokens, ROWS[m] + 1), bool)
    for i, clip in enumerate(clips):
        part = how["parts"][clip["id"]]
        words = [match.span() for match in re.finditer("[a-z]+", clip["text"].lower())]
        assert len(words) == len(part["said"]), clip["id"]
        for t, (begin, end) in enumerate(tokenizer.encode(clip["text"]).offsets):
            word = sum(b <= begin for b, _ in words) - 1
            if begin == end or not clip["text"][begin].isalpha():
                continue
            said = part["said"][word]
            made["text_time"][i, t] = sum(said) / 2
            made["text_share"][i, t] = sum(words[word]) / 2 / len(clip["text"])
            made["text_told"][i, t] = word == part.get("at", word)
            for m in begins:
                time = made[f"{m}_time"][i]
                inside = (time >= said[0]) & (time < said[1])
                if not inside.any():
                    inside[np.argmin(np.where(time < 0, np.inf, np.abs(time - sum(said) / 2)))] = True
                made[f"{m}_theirs"][i, t] = [False, *inside]
    assert made["text_told"].any(1).all()
    return made


def load(folder, bert, times=False):
    """Splits of dictionaries of arrays, with `times` those of `timed` among them; and what `dataset.json` says beside the clips."""
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "features.safetensors")
    splits = description.pop("splits")
    clips = [clip for split in splits.values() for clip in split]
    text, rows = hidden(bert, [clip["text"] for clip in clips])
    all = {"text": text, "text_rows": rows, "label": np.array([c["label"] for c in clips], np.float32)}
    for m in ("audio", "vision"):
        rows = np.array([c[m][1] for c in clips])
        if not rows.all():
            raise SystemExit(f"{folder}: the replica has no way to leave a modality out; make the data with --missing 0")
        all[m] = np.zeros((len(clips), max(rows.max(), ROWS[m]), tensors[m].shape[1]), np.float32)
        for to, c in zip(all[m], clips):
            to[: c[m][1]] = tensors[m][c[m][0] : sum(c[m])]
        all[f"{m}_rows"] = rows
    if times:
        all |= timed(clips, json.loads((folder / "how.json").read_text(encoding="utf-8")), bert, text.shape[1])
    ends = np.cumsum([len(split) for split in splits.values()])
    parts = {name: {k: v[end - len(splits[name]) : end] for k, v in all.items()} for name, end in zip(splits, ends)}
    return parts, description
