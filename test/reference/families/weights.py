"""Random weights under which a wrong formula shows, and the files they are stored in."""

import json
import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

QUERY_KEY = ("q_proj", "k_proj")
FUSED = ("qkv", "in_proj")  # query, key and value stacked in one matrix
OUTPUT = ("o_proj", "out_proj", "down_proj", "fc2", "attn.proj")
TABLES = {"embed_tokens": 0.3, "token_embedding": 0.5}
VECTORS = ("position_embedding", "class_embedding", "probe", "image_newline")
# the two matrices around an activation, and the setting of the spec that centres it
PAIRS = [
    ("projector", ("linear_1", "merger.mlp.0"), ("linear_2", "merger.mlp.2")),
    ("tower_mlp", ("fc1",), ("fc2",)),
]


def value_of(name: str, noise: Tensor, spec) -> Tensor:
    """The value of one parameter from normal noise of its shape.

    erf-GELU and tanh-GELU differ by 5e-4 at most, near -2.7. To tell them apart, pre-activations are centred there
    (`spec.projector`, `spec.tower_mlp`), where GELU itself is small, and the next matrix brings the values back to scale.
    """
    fan_in = noise[0].numel() if noise.ndim > 1 else 1
    if name == "logit_scale":
        return noise * 0.1 + 2.5
    if name == "logit_bias":
        return noise * 0.1 - 3
    if "norm" in name or "ln_q" in name:
        return noise * 0.3 + (1 if name.endswith("weight") else 0)
    for table, size in TABLES.items():
        if table in name:
            return noise * size
    if any(part in name for part in VECTORS):
        return noise * 0.6
    for setting, first, second in PAIRS:
        centre = getattr(spec, setting)
        if centre is None:
            continue
        if any(part in name for part in first):
            return noise * centre[1] + centre[0] if name.endswith("bias") else noise * centre[1] / fan_in**0.5
        if any(part in name for part in second) and name.endswith("weight"):
            return noise * centre[2]
    is_output = any(part in name for part in OUTPUT)
    if name.endswith("bias"):
        return noise * (0.1 if is_output else 0.3)
    gain = torch.ones(len(noise), *[1] * (noise.ndim - 1))
    if any(part in name for part in QUERY_KEY):
        gain[:] = spec.peak
    if any(part in name for part in FUSED):
        gain[: len(noise) * 2 // 3] = spec.peak
    if is_output:
        gain[:] = 0.7
    if "lm_head" in name:
        gain[:] = 2.0
    return noise * gain / fan_in**0.5


def init_weights(model: nn.Module, spec, first_quiet: int) -> None:
    """Sets every parameter, rounded as it will be stored. Rows from `first_quiet` on never win the arg-max."""
    for name, parameter in model.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(f"{spec.seed} {name}".encode()))
        value = value_of(name, torch.randn(parameter.shape, generator=generator), spec)
        if "embed_tokens" in name or "lm_head" in name:
            value[first_quiet:] *= 0.1
        parameter.data = value.to(spec.dtype).to(torch.float32)
    model.tie_weights()


def write_weights(folder: Path, model: nn.Module, spec, stored_name) -> None:
    """model.safetensors, or `spec.shards` files and their index; `stored_name` gives a parameter's name in the file."""
    tied = getattr(model.config, "tie_word_embeddings", False)
    tensors = {
        stored_name(name): value.data.to(spec.dtype).contiguous()
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
