"""Writes the tiny random LLaVA-1.5 checkpoints, in the file layout of llava-hf/llava-1.5-7b-hf."""

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, LlavaForConditionalGeneration

import tokenizer

MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'] | upper }}: {% endif %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@dataclass
class Spec:
    name: str
    seed: int
    text: dict
    vision: dict
    top: dict = field(default_factory=dict)  # LLaVA's own settings
    dtype: torch.dtype = torch.float32
    layout: str = "hub"  # of tensor names: hub, new or original
    shards: int = 1
    projector_centre: float = -2.3  # mean of the projector's pre-activations: where erf-GELU and tanh-GELU part
    tower_centre: float = 0.0  # the same for the tower's MLPs
    projector_gain: float = 2.5


def init_weights(model: LlavaForConditionalGeneration, spec: Spec, n_tokens: int) -> None:
    """Random weights under which a wrong formula shows: peaked attention, biases, norm weights far from 1."""
    for name, parameter in model.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(f"{spec.seed} {name}".encode()))
        noise = torch.randn(parameter.shape, generator=generator)
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        if "norm" in name:
            value = noise * 0.3 + (1 if name.endswith("weight") else 0)
        elif "embed_tokens" in name or "position_embedding" in name or "class_embedding" in name:
            value = noise * (0.3 if "embed_tokens" in name else 0.6)
        elif name.endswith("linear_1.bias"):
            value = noise * 0.2 + spec.projector_centre
        elif name.endswith("linear_1.weight"):
            value = noise * 0.25 / fan_in**0.5
            if not spec.top.get("multimodal_projector_bias", True):
                value += spec.projector_centre / fan_in
        elif name.endswith("linear_2.weight"):
            value = noise * spec.projector_gain
        elif name.endswith("fc1.bias"):
            value = noise * 0.3 + spec.tower_centre
        elif name.endswith("bias"):
            value = noise * 0.3
        else:
            gain = 1.0
            if "q_proj" in name or "k_proj" in name:
                gain = 1.6
            if "o_proj" in name or "out_proj" in name or "down_proj" in name or "fc2" in name:
                gain = 0.7
            if "lm_head" in name:
                gain = 2.0
            if "fc1" in name and spec.tower_centre:
                gain = 0.3
            value = noise * gain / fan_in**0.5
        if "embed_tokens" in name or "lm_head" in name:
            value[n_tokens - 2 :] *= 0.1  # <image>, <pad> and padding rows never win the arg-max
        parameter.data = value.to(spec.dtype).to(torch.float32)
    model.tie_weights()


def stored_name(name: str, layout: str) -> str:
    """From the module tree of transformers 5 to a name as found in checkpoints.

    hub: transformers < 4.52, and llava-hf on the hub. new: transformers 4.52 and later. original: the LLaVA repository.
    """
    name = name.replace("vision_tower.", "vision_tower.vision_model.")
    if layout == "new":
        return name
    if name == "lm_head.weight":
        return "language_model.lm_head.weight" if layout == "hub" else name
    if layout == "hub":
        return name.removeprefix("model.").replace("language_model.", "language_model.model.", 1)
    name = name.replace("model.language_model.", "model.").replace("model.vision_tower.", "model.vision_tower.vision_tower.")
    name = name.replace("multi_modal_projector.linear_1", "mm_projector.0")
    return name.replace("multi_modal_projector.linear_2", "mm_projector.2")


def write_weights(folder: Path, model: LlavaForConditionalGeneration, spec: Spec, layout: str) -> None:
    tied = model.config.tie_word_embeddings
    tensors = {
        stored_name(name, layout): value.data.to(spec.dtype).contiguous()
        for name, value in model.named_parameters()
        if not (tied and name == "lm_head.weight")
    }
    metadata = {"format": "pt"}
    if spec.shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata)
        return
    names, size = list(tensors), sum(t.nbytes for t in tensors.values())
    weight_map, start = {}, 0
    for shard in range(spec.shards):
        end = len(names) * (shard + 1) // spec.shards
        file = f"model-{shard + 1:05}-of-{spec.shards:05}.safetensors"
        save_file({n: tensors[n] for n in names[start:end]}, folder / file, metadata)
        weight_map |= {n: file for n in names[start:end]}
        start = end
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_settings(folder: Path, spec: Spec, eos: int | list[int] = 2) -> int:
    """Everything but the weights. Returns the number of the tokenizer's entries."""
    ids = tokenizer.write(folder)
    top = {"projector_hidden_act": "gelu", "vision_feature_layer": -2, "vision_feature_select_strategy": "default"} | spec.top
    dtype = str(spec.dtype).removeprefix("torch.")
    image_size, patch_size = spec.vision["image_size"], spec.vision["patch_size"]
    full = top["vision_feature_select_strategy"] == "full"
    write_json(
        folder / "config.json",
        {
            "architectures": ["LlavaForConditionalGeneration"],
            "ignore_index": -100,
            "image_seq_length": (image_size // patch_size) ** 2 + full,
            "image_token_index": ids["<image>"],
            "model_type": "llava",
            "pad_token_id": ids["<pad>"],
            **top,
            "text_config": {
                "architectures": ["LlamaForCausalLM"],
                "max_position_embeddings": 512,
                "model_type": "llama",
                "torch_dtype": dtype,
                **spec.text,
            },
            "torch_dtype": dtype,
            "vision_config": {"model_type": "clip_vision_model", "projection_dim": 32, **spec.vision},
        },
    )
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": eos, "pad_token_id": ids["<pad>"]})
    write_json(
        folder / "preprocessor_config.json",
        {
            "crop_size": {"height": image_size, "width": image_size},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": MEAN,
            "image_processor_type": "CLIPImageProcessor",
            "image_std": STD,
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"shortest_edge": image_size},
        },
    )
    write_json(
        folder / "processor_config.json",
        {
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
            "patch_size": patch_size,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": top["vision_feature_select_strategy"],
        },
    )
    write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})
    return ids["<pad>"] + 1


def write(folder: Path, spec: Spec) -> None:
    """Writes the whole checkpoint `spec` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    n_tokens = write_settings(folder, spec)
    model = LlavaForConditionalGeneration(AutoConfig.from_pretrained(folder)).to(torch.float32)
    init_weights(model, spec, n_tokens)
    write_weights(folder, model, spec, spec.layout)


SPECS = [
    Spec(
        name="llava-f32",
        seed=22,  # chosen among 60 for its arg-max margins, as in the other specs
        text=dict(
            hidden_size=40,
            intermediate_size=52,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=24,
            rms_norm_eps=1e-2,
            rope_theta=500000.0,
            tie_word_embeddings=False,
            vocab_size=431,
        ),
        vision=dict(
            hidden_size=48,
            intermediate_size=60,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
            hidden_act="quick_gelu",
            layer_norm_eps=2e-2,
        ),
    ),
]
