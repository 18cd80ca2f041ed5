"""Copies of checkpoints in the layout of the repositories that made them: other tensor names, one flat config.json, no
settings of a processor. The values are those of the hub's layout, so what transformers sees there holds here too."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers.image_utils import load_image
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from families.base import write_json

NAMES = [
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_tower.", "model.vision_tower.vision_tower."),
    ("multi_modal_projector.linear_1.", "model.mm_projector.0."),
    ("multi_modal_projector.linear_2.", "model.mm_projector.2."),
    ("image_newline", "model.image_newline"),
]


def original_name(name: str) -> str:
    for ours, theirs in NAMES:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise ValueError(f"{name}: no name in the original layout")


def copy(source: Path, folder: Path, config: dict) -> None:
    """The tensors of a checkpoint of one file, its tokenizer, and a config.json."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(source / file, folder / file)
    tensors = {original_name(n): t for n, t in load_file(source / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    write_json(folder / "config.json", config)


def shared_settings(settings: dict, tower: str) -> dict:
    """What both repositories write. Their towers' sizes are those of a named checkpoint; ours are too small for a name and
    stand under `mm_vision_tower_config`, as the hub's layout has them (num_hidden_layers: the layers that are stored)."""
    text = {k: v for k, v in settings["text_config"].items() if k not in ("architectures", "model_type")}
    return text | {
        "mm_hidden_size": settings["vision_config"]["hidden_size"],
        "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": tower,
        "mm_vision_tower_config": settings["vision_config"],
        "torch_dtype": settings["torch_dtype"],
        "use_mm_proj": True,
    }


def llava_next_repository(source: Path) -> dict:
    """lmms-lab/llava-onevision-qwen2-*-ov. Its SigLIP tower was stored without its last layer, of which -2 speaks."""
    settings = json.loads((source / "config.json").read_text())
    side, grids = settings["vision_config"]["image_size"], settings["image_grid_pinpoints"]
    last = max(rows for rows, _ in grids) // side, max(columns for _, columns in grids) // side
    return shared_settings(settings, "google/siglip-so400m-patch14-384") | {
        "architectures": ["LlavaQwenForCausalLM"],
        "hidden_act": "silu",
        "image_aspect_ratio": settings["vision_aspect_ratio"],
        "image_grid_pinpoints": f"(1x1),...,({last[0]}x{last[1]})",
        "image_token_index": settings["image_token_index"],
        "mm_newline_position": "one_token",
        "mm_patch_merge_type": "spatial_unpad",
        "mm_spatial_pool_mode": "bilinear",
        "model_type": "llava_qwen",
        "tie_word_embeddings": settings["tie_word_embeddings"],
        "use_sliding_window": False,
    }


def llava_repository(source: Path) -> dict:
    """liuhaotian/llava-v1.5-*. No id of <image> in the settings; here the tokenizer has the entry."""
    settings = json.loads((source / "config.json").read_text())
    return shared_settings(settings, "openai/clip-vit-large-patch14-336") | {
        "architectures": ["LlavaLlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "image_aspect_ratio": "pad",
        "mm_patch_merge_type": "flat",
        "model_type": "llava_llama",
        "pad_token_id": settings["pad_token_id"],
        "pretraining_tp": 1,
        "rope_scaling": None,
    }


def padded_pixels(source: Path, images: Path, files: list[str]) -> dict[str, torch.Tensor]:
    """`<file>/pixel_values` of `image_aspect_ratio: pad`: a square of the mean colour around each picture."""
    processor = LlavaImageProcessorPil.from_pretrained(source, do_pad=True)
    return {
        f"{file}/pixel_values": processor(load_image(str(images / file)), return_tensors="pt")["pixel_values"]
        for file in files
    }


def make(fixtures: Path, names: list[str]) -> None:
    families = fixtures / "families"
    if not names or "onevision-f16-original" in names:
        source, folder = families / "onevision-f16", families / "onevision-f16-original"
        copy(source, folder, llava_next_repository(source))
        write_json(folder / "expected.json", {"same_as": "onevision-f16"})
    if not names or "llava-f32-original" in names:
        source, folder = fixtures / "checkpoints" / "llava-f32", families / "llava-f32-original"
        copy(source, folder, llava_repository(source))
        pixels = padded_pixels(source, fixtures / "images", ["scene.png", "wide.png", "tall.png"])
        save_file(pixels, folder / "expected.safetensors")
        write_json(folder / "expected.json", {"same_as": "../checkpoints/llava-f32", "pixels": "pad"})
