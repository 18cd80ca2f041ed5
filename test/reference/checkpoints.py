"""Writes the tiny random LLaVA-1.5 checkpoints, in the file layout of llava-hf/llava-1.5-7b-hf."""

import json
import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, LlavaForConditionalGeneration

import tokenizer
from families import weights

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


SMALL_TEXT = dict(
    hidden_size=24,
    intermediate_size=28,
    num_hidden_layers=2,
    num_attention_heads=3,
    num_key_value_heads=1,
    head_dim=16,
    rms_norm_eps=1e-2,
    tie_word_embeddings=True,
    vocab_size=431,
)
SMALL_VISION = dict(
    hidden_size=16,
    intermediate_size=20,
    num_hidden_layers=1,
    num_attention_heads=2,
    image_size=16,
    patch_size=8,
    hidden_act="quick_gelu",
    layer_norm_eps=2e-2,
)


@dataclass
class Spec:
    name: str
    seed: int
    text: dict
    vision: dict
    top: dict = field(default_factory=dict)  # LLaVA's own settings
    dtype: torch.dtype = torch.float32
    layout: str = "hub"  # of tensor names: hub or new
    shards: int = 1
    eos: int | list[int] = 2
    projector: tuple[float, float, float] = (-2.3, 0.3, 2.5)  # centre and spread of pre-activations, weight of linear_2
    tower_mlp: tuple[float, float, float] | None = None  # the same for the tower's MLPs; None: ordinary weights


def init_weights(model: LlavaForConditionalGeneration, spec: Spec, n_tokens: int) -> None:
    """Random weights under which a wrong formula shows: peaked attention, biases, norm weights far from 1.

    erf-GELU and tanh-GELU differ by 5e-4 at most, near -2.7. To tell them apart, pre-activations are centred there
    (`projector`, `tower_mlp`), where GELU itself is small, and the next matrix brings the values back to scale.
    """
    biased = spec.top.get("multimodal_projector_bias", True)
    constant = model.model.vision_tower.pre_layrnorm.bias  # what all features share: centres a projector without biases
    for name, parameter in model.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(f"{spec.seed} {name}".encode()))
        noise = torch.randn(parameter.shape, generator=generator)
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        centred = spec.projector if "linear_" in name else spec.tower_mlp if ".fc" in name else None
        if "norm" in name:
            value = noise * 0.3 + (1 if name.endswith("weight") else 0)
            if name.endswith("pre_layrnorm.bias") and not biased:
                value = noise
        elif "embed_tokens" in name or "position_embedding" in name or "class_embedding" in name:
            value = noise * (0.3 if "embed_tokens" in name else 0.6)
        elif centred and name.endswith(("linear_1.bias", "fc1.bias")):
            value = noise * centred[1] + centred[0]
        elif centred and name.endswith(("linear_1.weight", "fc1.weight")):
            value = noise * centred[1] / fan_in**0.5
            if "linear_1" in name and not biased:
                direction = constant.data.repeat(fan_in // len(constant))
                value += centred[0] * direction / direction.dot(direction)
        elif centred and name.endswith(("linear_2.weight", "fc2.weight")):
            value = noise * centred[2]
        elif name.endswith("bias"):
            value = noise * (0.1 if "o_proj" in name or "down_proj" in name else 0.3)
        else:
            gain = 1.0
            if "q_proj" in name or "k_proj" in name:
                gain = 1.6
            if "o_proj" in name or "out_proj" in name or "down_proj" in name or "fc2" in name:
                gain = 0.7
            if "lm_head" in name:
                gain = 2.0
            value = noise * gain / fan_in**0.5
        if "embed_tokens" in name or "lm_head" in name:
            value[n_tokens - 2 :] *= 0.1  # <image>, <pad> and padding rows never win the arg-max
        parameter.data = value.to(spec.dtype).to(torch.float32)
    model.tie_weights()


def stored_name(name: str, layout: str) -> str:
    """From the module tree of transformers 5 to a name as found in checkpoints.

    hub: transformers < 4.52, and llava-hf on the hub. new: transformers 4.52 and later.
    """
    name = name.replace("vision_tower.", "vision_tower.vision_model.")
    if layout == "new":
        return name
    if name == "lm_head.weight":
        return "language_model.lm_head.weight"
    return name.removeprefix("model.").replace("language_model.", "language_model.model.", 1)


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_settings(folder: Path, spec: Spec) -> int:
    """Everything but the weights. Returns the number of the tokenizer's entries."""
    ids = tokenizer.write(folder)
    top = {
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        **spec.top,
    }
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
    write_json(
        folder / "generation_config.json",
        {"bos_token_id": 1, "eos_token_id": spec.eos, "pad_token_id": ids["<pad>"]},
    )
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
            "num_additional_image_tokens": int(spec.vision.get("model_type") != "siglip_vision_model"),  # a class token
            "patch_size": patch_size,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": top["vision_feature_select_strategy"],
        },
    )
    write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})
    return ids["<pad>"] + 1


def write_original_names(source: Path, folder: Path) -> None:
    """Copies a checkpoint of one file; its tensors get the names of the original LLaVA repository."""
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expected.*", "model.*"))
    tensors = load_file(source / "model.safetensors")
    for ours, theirs in [
        ("language_model.model.", "model."),
        ("vision_tower.", "model.vision_tower.vision_tower."),
        ("multi_modal_projector.linear_1.", "model.mm_projector.0."),
        ("multi_modal_projector.linear_2.", "model.mm_projector.2."),
    ]:
        tensors = {theirs + n.removeprefix(ours) if n.startswith(ours) else n: t for n, t in tensors.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def write(folder: Path, spec: Spec) -> None:
    """Writes the whole checkpoint `spec` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    n_tokens = write_settings(folder, spec)
    model = LlavaForConditionalGeneration(AutoConfig.from_pretrained(folder)).to(torch.float32)
    init_weights(model, spec, n_tokens)
    weights.write_weights(folder, model, spec, lambda name: stored_name(name, spec.layout))


SPECS = [
    Spec(
        name="llava-f32",
        seed=22,  # chosen for its arg-max margins, as in the other specs
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
    # several feature layers, class token kept, every optional bias, one key/value head, tied embeddings
    Spec(
        name="llava-f16",
        seed=57,
        dtype=torch.float16,
        projector=(-2.4, 0.15, 2.5),
        tower_mlp=(-3.1, 0.04, 30.0),
        eos=[2, 388],  # the fourth token of the continuation of "scene"
        top=dict(
            vision_feature_layer=[-2, 1],
            vision_feature_select_strategy="full",
            projector_hidden_act="quick_gelu",
            multimodal_projector_bias=False,
            tie_word_embeddings=True,
        ),
        text=dict(
            hidden_size=36,
            intermediate_size=58,
            num_hidden_layers=3,
            num_attention_heads=3,
            num_key_value_heads=1,
            head_dim=20,
            attention_bias=True,
            mlp_bias=True,
            rms_norm_eps=5e-2,
            rope_parameters={"rope_theta": 300.0, "rope_type": "default"},
            tie_word_embeddings=True,
            vocab_size=439,
        ),
        vision=dict(
            hidden_size=40,
            intermediate_size=54,
            num_hidden_layers=3,
            num_attention_heads=1,
            image_size=28,
            patch_size=7,
            hidden_act="gelu",
            layer_norm_eps=0.4,
        ),
    ),
    # newer names, shards, odd widths, ordinary multi-head attention, head size and base frequency left to the defaults
    Spec(
        name="llava-bf16",
        seed=31,
        dtype=torch.bfloat16,
        layout="new",
        shards=3,
        projector=(-3.3, 0.1, 70.0),
        tower_mlp=(-2.4, 0.3, 2.0),
        top=dict(vision_feature_layer=-1, projector_hidden_act="gelu_pytorch_tanh"),
        text=dict(
            hidden_size=44,
            intermediate_size=61,
            num_hidden_layers=2,
            num_attention_heads=2,
            rms_norm_eps=5e-2,
            tie_word_embeddings=False,
            vocab_size=433,
        ),
        vision=dict(
            hidden_size=36,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=3,
            image_size=30,
            patch_size=6,
            hidden_act="quick_gelu",
            layer_norm_eps=0.4,
        ),
    ),
    # scaled rotary embeddings, in the older and the newer spelling
    Spec(
        name="rope-linear",
        seed=23,
        text=SMALL_TEXT | dict(rope_theta=10000.0, rope_scaling={"type": "linear", "factor": 2.5}),
        vision=SMALL_VISION,
    ),
    Spec(
        name="rope-llama3",
        seed=48,
        top=dict(vision_feature_layer=-1),
        text=SMALL_TEXT
        | dict(
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,  # wavelengths on both sides of, and between, 16 and 64
            }
        ),
        vision=SMALL_VISION,
    ),
]
