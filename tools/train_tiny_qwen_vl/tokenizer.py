"""A byte-level BPE tokenizer of the form that Qwen's have, with a small vocabulary learnt from the sentences that occur."""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import data

# Words with at most one sign before them, single digits, runs of signs, runs of white space.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)
SYSTEM = "system\nYou are a helpful assistant."


def sentences() -> list[str]:
    """Every word that prompts and answers can have."""
    texts = [SYSTEM, "user\n", "assistant\n", *data.FIRST, *data.LAST, *data.stated_times(True)]
    for template in (*data.COLOUR, *data.STILL):
        texts += [template.format(c) for c in data.COLOUR_NAMES]
    texts += [template.format(s) for template in data.SHAPE for s in data.SHAPES]
    for colour in range(len(data.COLOURS)):
        for shape in range(len(data.SHAPES)):
            texts.append(data.answer(data.Thing(colour, shape, 28, 7, 14, 3, (0, 0))))
    return texts


def build() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, min_frequency=1, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    return tokenizer


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def rows(tokenizer: Tokenizer) -> int:
    """Rows of the token table: the vocabulary, filled up to a multiple of 64."""
    return -(-tokenizer.get_vocab_size() // 64) * 64
