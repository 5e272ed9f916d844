"""Writes the model's folder in the published form: `python export.py --checkpoint RUN/clip.pt --out FOLDER`.

Weights are the averaged ones in bfloat16 under the published names; the auxiliary heads stay behind.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file

import data
import model as tiny
import tokenizer as tok

# One user turn after another; content is text, or a list of texts, images and videos.
CHAT = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}"
    "{% if part.type == 'video' or 'video' in part %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part.type == 'image' or 'image' in part %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def config_json(c: tiny.Config, tokenizer) -> dict:
    """The flat file of the published checkpoints."""
    token = tokenizer.token_to_id
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "attention_dropout": 0.0,
        "bos_token_id": token("<|endoftext|>"),
        "eos_token_id": token("<|im_end|>"),
        "vision_start_token_id": token("<|vision_start|>"),
        "vision_end_token_id": token("<|vision_end|>"),
        "vision_token_id": token("<|vision_pad|>"),
        "image_token_id": token("<|image_pad|>"),
        "video_token_id": token("<|video_pad|>"),
        "hidden_act": "silu",
        "hidden_size": c.width,
        "initializer_range": 0.02,
        "intermediate_size": c.ffn,
        "max_position_embeddings": 1024,
        "max_window_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_hidden_layers": c.layers,
        "num_key_value_heads": c.kv_heads,
        "rms_norm_eps": c.eps,
        "rope_theta": c.theta,
        "rope_scaling": {"type": "mrope", "mrope_section": list(c.sections)},
        "sliding_window": 1024,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": c.vocab,
        "vision_config": {
            "model_type": "qwen2_5_vl",
            "depth": c.vision_depth,
            "fullatt_block_indexes": list(c.full),
            "hidden_act": "silu",
            "hidden_size": c.vision_width,
            "in_chans": 3,
            "in_channels": 3,
            "intermediate_size": c.vision_ffn,
            "num_heads": c.vision_heads,
            "out_hidden_size": c.width,
            "patch_size": data.PATCH,
            "spatial_merge_size": data.MERGE,
            "spatial_patch_size": data.PATCH,
            "temporal_patch_size": data.TEMPORAL,
            "tokens_per_second": 2,
            "window_size": c.window,
        },
    }


def processor_json(kind: str) -> dict:
    """Bounds between which 140x140 pixels stay as they are."""
    pixels = data.SIDE**2
    common = {
        "min_pixels": pixels,
        "max_pixels": pixels,
        "size": {"shortest_edge": pixels, "longest_edge": pixels},
        "patch_size": data.PATCH,
        "temporal_patch_size": data.TEMPORAL,
        "merge_size": data.MERGE,
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "do_convert_rgb": True,
        "resample": 3,
        "image_mean": [round(float(v), 8) for v in data.MEAN],
        "image_std": [round(float(v), 8) for v in data.STD],
        "processor_class": "Qwen2_5_VLProcessor",
    }
    if kind == "image":
        return {"image_processor_type": "Qwen2VLImageProcessor", **common}
    frames = {"fps": 2, "min_frames": 4, "max_frames": 16, "do_sample_frames": True}
    return {"video_processor_type": "Qwen2VLVideoProcessor", **common, **frames}


def export(weights: dict[str, torch.Tensor], config: tiny.Config, folder: Path) -> None:
    """`weights` by the model's own names."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tok.build()
    tensors = {name: w.to(torch.bfloat16).contiguous() for name, w in weights.items()}
    # Whole or not at all, so that it can be read while training goes on.
    temporary = folder / "model.safetensors.tmp"
    save_file(tensors, temporary, metadata={"format": "pt"})
    temporary.chmod(0o644)
    os.replace(temporary, folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    end, pad = "<|im_end|>", "<|endoftext|>"
    special = {
        str(tokenizer.token_to_id(t)): {
            "content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True,
        }
        for t in tok.SPECIAL
    }
    files = {
        "config.json": config_json(config, tokenizer),
        "generation_config.json": {
            "bos_token_id": tokenizer.token_to_id(pad),
            "pad_token_id": tokenizer.token_to_id(pad),
            "eos_token_id": [tokenizer.token_to_id(end), tokenizer.token_to_id(pad)],
            "do_sample": False,
            "max_new_tokens": 48,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "Qwen2Tokenizer",
            "add_prefix_space": False,
            "added_tokens_decoder": special,
            "additional_special_tokens": list(tok.SPECIAL[1:]),
            "bos_token": None,
            "eos_token": end,
            "pad_token": pad,
            "unk_token": None,
            "clean_up_tokenization_spaces": False,
            "split_special_tokens": False,
            "model_max_length": 1024,
            "chat_template": CHAT,
        },
        "chat_template.json": {"chat_template": CHAT},
        "preprocessor_config.json": processor_json("image"),
        "video_preprocessor_config.json": processor_json("video"),
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def averaged(checkpoint: Path) -> dict[str, torch.Tensor]:
    shadow = torch.load(checkpoint, weights_only=True)["ema"]
    return {n.removeprefix("model."): w for n, w in shadow.items() if n.startswith("model.")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    weights = averaged(args.checkpoint)
    config = tiny.Config(vocab=len(weights["model.embed_tokens.weight"]))
    export(weights, config, args.out)
    size = sum(f.stat().st_size for f in args.out.iterdir())
    print(f"{sum(w.numel() for w in weights.values())} parameters, {size} bytes")


if __name__ == "__main__":
    main()
