"""Token ids and rotary positions of prompts: what the chat template and the placeholder's expansion give.

A prompt is a prefix up to and with the last vision end, the same for all questions about a clip, and a question. Training
puts several questions behind one prefix, so positions of a question go on where the prefix ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import data
import tokenizer as tok

ROWS = COLUMNS = data.SIDE // 28
STEP = 2  # rotary positions from one temporal group to the next: 2 positions a second, 1 second a group


@dataclass
class Prefix:
    ids: np.ndarray
    """Token ids, one for each video token too."""
    video: np.ndarray
    """Indices of the video tokens."""
    positions: np.ndarray
    """(3, length): time, row and column."""
    next: int
    """Position of what follows, on all three axes."""


def prefix(tokenizer, times: list[str] | None, groups: int = data.SECONDS) -> Prefix:
    """With `times` each group is a block of its own with its time in words before it; without, one block has all."""
    special = {t: tokenizer.token_to_id(t) for t in tok.SPECIAL}
    ids: list[int] = []
    video: list[int] = []
    columns: list[tuple[int, int, int]] = []

    def text(new: list[int]) -> None:
        start = max(map(max, columns)) + 1 if columns else 0
        ids.extend(new)
        columns.extend((start + i,) * 3 for i in range(len(new)))

    def block(steps: int) -> None:
        start = max(map(max, columns)) + 1
        for step in range(steps):
            for row in range(ROWS):
                for column in range(COLUMNS):
                    video.append(len(ids))
                    ids.append(special["<|video_pad|>"])
                    columns.append((start + STEP * step, start + row, start + column))

    text(tok.ids(tokenizer, f"<|im_start|>{tok.SYSTEM}<|im_end|>\n<|im_start|>user\n"))
    for time in times if times is not None else [None]:
        if time is not None:
            text(tok.ids(tokenizer, time))
        text([special["<|vision_start|>"]])
        block(groups if time is None else 1)
        text([special["<|vision_end|>"]])
    return Prefix(np.array(ids), np.array(video), np.array(columns).T, max(map(max, columns)) + 1)


def question_ids(tokenizer, question: str) -> list[int]:
    return tok.ids(tokenizer, f"{question}<|im_end|>\n<|im_start|>assistant\n")


def answer_ids(tokenizer, answer: str) -> list[int]:
    return tok.ids(tokenizer, f"{answer}<|im_end|>")


LENGTH = 44  # of a question with its answer, padded


def pack(tokenizer, pairs: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of LENGTH tokens, and weights of the predictions that they should make (0 outside answers).

    What is the same in every answer is learnt at once and counts little; words are few, and the rest follows from them."""
    end = tokenizer.token_to_id("<|im_end|>")
    ids = np.full((len(pairs), LENGTH), end, np.int64)
    weights = np.zeros((len(pairs), LENGTH), np.float32)
    for row, (question, answer) in enumerate(pairs):
        asked, said = question_ids(tokenizer, question), answer_ids(tokenizer, answer)
        full = asked + said
        if len(full) > LENGTH:
            raise ValueError(f"{len(full)} tokens")
        ids[row, : len(full)] = full
        pieces = [tokenizer.decode([i]) for i in said]
        fixed = [not (p.isdigit() or p.strip() in data.COLOURS or p.strip() in data.SHAPES) for p in pieces]
        word = [p.strip() in data.COLOURS or p.strip() in data.SHAPES for p in pieces]
        weights[row, len(asked) - 1 : len(full) - 1] = np.where(fixed, 0.1, np.where(word, 3.0, 1.0))
    return ids, weights
