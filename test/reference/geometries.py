"""Parameters and image tokens of published checkpoints, by transformers, without weights.

    python test/reference/geometries.py

Reads the config.json files of test/fixtures/geometries/ and writes expected.json beside them: the parameters of the HF
class built on torch's meta device, by part; those that no forward pass reads (CLIP's and SigLIP's norm after the last
layer); and how many tokens the HF processor counts for images of several sizes.
"""

import json
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers import LlavaNextImageProcessor, LlavaNextProcessor, LlavaOnevisionImageProcessor
from transformers import LlavaOnevisionProcessor, LlavaProcessor, CLIPImageProcessor, Qwen2VLImageProcessor
from transformers import Qwen2VLProcessor

FOLDER = Path(__file__).parent.parent / "fixtures" / "geometries"
SIZES = [(336, 336), (480, 640), (640, 480), (1080, 1920), (3000, 400), (100, 1000), (20, 30), (4032, 3024)]
# Of the hub's preprocessor_config.json files of Qwen2-VL and Qwen2.5-VL.
QWEN_PIXELS = {"min_pixels": 3136, "max_pixels": 12845056}
# The original repositories' class is not in transformers; the hub's port has the same weights.
PORTS = {"lmms-lab--llava-onevision-qwen2-7b-ov": "llava-hf--llava-onevision-qwen2-7b-ov-hf"}


def part(name):
    if name.startswith("lm_head"):
        return "lm_head"
    if "embed_tokens" in name:
        return "embeddings"
    if "projector" in name or "image_newline" in name or ".merger." in name:
        return "projector"
    return "tower" if "vision_tower" in name or ".visual." in name else "blocks"


def parameters(config):
    auto = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    parts, unread = {}, 0
    for name, p in model.named_parameters():
        parts[part(name)] = parts.get(part(name), 0) + p.numel()
        if "vision_tower" in name and "post_layernorm" in name:
            unread += p.numel()
    return {"parameters": sum(parts.values()), "parts": parts, "unread": unread}


def processor(config):
    vision = config.vision_config
    if config.model_type.startswith("qwen2"):
        p = Qwen2VLProcessor.__new__(Qwen2VLProcessor)
        p.image_processor = Qwen2VLImageProcessor(**QWEN_PIXELS)
        return p
    square = {"height": vision.image_size, "width": vision.image_size}
    kind = {"llava": LlavaProcessor, "llava_next": LlavaNextProcessor, "llava_onevision": LlavaOnevisionProcessor}
    p = kind[config.model_type].__new__(kind[config.model_type])
    p.patch_size = vision.patch_size
    p.num_additional_image_tokens = 1
    p.num_image_tokens = (vision.image_size // vision.patch_size) ** 2
    p.vision_feature_select_strategy = config.vision_feature_select_strategy
    if config.model_type == "llava":
        p.image_processor = CLIPImageProcessor(size={"shortest_edge": vision.image_size}, crop_size=square)
    elif config.model_type == "llava_next":
        p.image_processor = LlavaNextImageProcessor(
            size={"shortest_edge": vision.image_size},
            crop_size=square,
            image_grid_pinpoints=config.image_grid_pinpoints,
        )
    else:
        p.vision_aspect_ratio = config.vision_aspect_ratio
        p.image_processor = LlavaOnevisionImageProcessor(size=square, image_grid_pinpoints=config.image_grid_pinpoints)
    return p


def tokens(config):
    if not hasattr(config, "vision_config"):
        return None
    p = processor(config)
    counts = p._get_num_multimodal_tokens(image_sizes=SIZES)["num_image_tokens"]
    return [[*size, count] for size, count in zip(SIZES, counts)]


def expected(name):
    data = json.loads((FOLDER / f"{PORTS.get(name, name)}.json").read_text())
    config = AutoConfig.for_model(**data)
    return {**parameters(config), **({"tokens": t} if (t := tokens(config)) else {})}


names = sorted(f.stem for f in FOLDER.glob("*--*.json"))
result = {name: expected(name) for name in names}
text = ",\n".join(f'"{name}": {json.dumps(value)}' for name, value in result.items())
(FOLDER / "expected.json").write_text("{\n" + text + "\n}\n")
