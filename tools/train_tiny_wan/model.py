"""The tiny Wan 2.1 model: tokenizer, UMT5 text encoder and DiT, and how a prompt becomes the DiT's context."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from diffusers import WanTransformer3DModel
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

import data

TEXT_LEN = 16
PAD, EOS, UNK = 0, 1, 2

TRANSFORMER_CONFIG = dict(
    patch_size=(1, 2, 2),
    num_attention_heads=4,
    attention_head_dim=32,
    in_channels=3,
    out_channels=3,
    text_dim=64,
    freq_dim=128,
    ffn_dim=512,
    num_layers=5,
    cross_attn_norm=True,
    qk_norm="rms_norm_across_heads",
    eps=1e-6,
    rope_max_seq_len=64,
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A T5-style Unigram tokenizer in which each caption word is one token; other text falls back to letters."""
    pieces: list[tuple[str, float]] = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("\u2581" + word, -2.0) for word in data.vocabulary()]
    pieces += [(letter, -12.0) for letter in "\u2581abcdefghijklmnopqrstuvwxyz"]
    backend = Tokenizer(models.Unigram(pieces, unk_id=UNK, byte_fallback=False))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    backend.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", EOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=TEXT_LEN,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def build_text_encoder(vocab_size: int) -> UMT5EncoderModel:
    config = UMT5Config(
        vocab_size=vocab_size,
        d_model=TRANSFORMER_CONFIG["text_dim"],
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
        tie_word_embeddings=False,
    )
    encoder = UMT5EncoderModel(config)
    # The stock initialisation leaves embeddings at unit scale and the projections tiny; both train well.
    return encoder


def build_transformer() -> WanTransformer3DModel:
    """The DiT with adaLN gates near zero and a zero output layer, so that training starts from a quiet network."""
    model = WanTransformer3DModel(**TRANSFORMER_CONFIG)
    nn.init.zeros_(model.proj_out.weight)
    nn.init.zeros_(model.proj_out.bias)
    for linear in (model.condition_embedder.time_embedder.linear_1, model.condition_embedder.time_embedder.linear_2):
        nn.init.normal_(linear.weight, std=0.02)
    return model


class PromptEncoder(nn.Module):
    """Prompt -> (text_len, text_dim): the real tokens with EOS are encoded, the remaining rows are zero."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, text_encoder: UMT5EncoderModel):
        super().__init__()
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder

    def forward(self, prompts: list[str]) -> torch.Tensor:
        batch = self.tokenizer(
            prompts,
            padding="max_length",
            max_length=TEXT_LEN,
            truncation=True,
            add_special_tokens=True,
            return_tensors="pt",
        )
        hidden = self.text_encoder(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        return hidden * batch.attention_mask[..., None].to(hidden.dtype)
