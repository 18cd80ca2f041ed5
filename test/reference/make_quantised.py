"""Regenerates test/fixtures/quantised: python test/reference/make_quantised.py [name ...]

A small checkpoint of each family with rows of whole groups of 32, as it is stored, and what transformers makes of it in float32 once
its matrices hold only what q8 or q4 leave of them. The rounding is written here anew (dequantised.py), not read from Headlight's files.
"""

import copy
import dataclasses
import re
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import logging

import make_families
from dequantised import GROUP, fake_quantised
from families.base import Spec, write_json
from fuzz import Llava
from make import FIXTURES

# The parts of src/model/weight-formats.ts, by the modules of transformers 5. Tied heads are embeddings.
PARTS = {
    "projector": r"multi_modal_projector|visual\.merger",
    "tower": r"vision_tower|visual",
    "embeddings": r"embed_tokens",
    "head": r"lm_head",
    "decoder": r"",
}
Q4 = {part: "q4" if part == "decoder" else "q8" for part in PARTS}  # what `q4` means
ALL_Q4, ALL_Q8 = dict.fromkeys(PARTS, "q4"), dict.fromkeys(PARTS, "q8")
TEXT = dict(hidden_size=64, intermediate_size=96)
WIDE = dict(hidden_size=96, num_attention_heads=8, intermediate_size=96)
TOWER = dict(hidden_size=32, intermediate_size=64)
BASES = {spec.name: (family, spec) for family, spec in make_families.specs()}


def of(base: str, weights: dict, text: dict, vision: dict, inputs: tuple, **changes) -> tuple:
    family, spec = BASES[base]
    spec = dataclasses.replace(spec, inputs=inputs, whole=None, projector=None, tower_mlp=None, **changes)
    return family, weights, dataclasses.replace(spec, text=spec.text | text, vision=spec.vision and spec.vision | vision)


def llava() -> tuple:
    _, weights, spec = of("next-llama-f16", ALL_Q4, TEXT, TOWER | dict(num_attention_heads=2), ("scene",), name="llava", eos=2, top={}, layout="hub", shards=1)
    return Llava("llama", ""), weights, spec


SPECS = [
    llava(),
    of("next-qwen2-bf16", ALL_Q8, TEXT, TOWER, ("wide",), name="next"),
    # In the tower the second matrix of each MLP has no whole groups, as in SigLIP so400m.
    of("onevision-f16", Q4, TEXT, dict(hidden_size=32, intermediate_size=40), ("scene",), name="onevision"),
    of(
        "qwen2-vl-f32",
        Q4,
        TEXT | dict(num_attention_heads=4),
        dict(embed_dim=32, hidden_size=64),
        ("scene",),
        name="qwen2-vl",
        dtype=torch.bfloat16,
    ),
    # Three groups a row: two groups share a word of scales.
    of("qwen2_5-vl-f16", ALL_Q4, WIDE, TOWER | dict(out_hidden_size=96), ("wide",), name="qwen2_5-vl"),
    of("llama-text-f32", Q4, TEXT | dict(head_dim=24), {}, ("text",), name="text"),
]
# What loads a checkpoint; a tokenizer is not asked for.
KEPT = r"(config|generation_config|expected|model.*)\.(json|safetensors)"


def quantise(model, weights: dict) -> int:
    """Rounds every linear layer's and embedding's matrix that has whole groups. Returns how many."""
    count, seen = 0, set()
    for name, module in model.named_modules():
        is_table = isinstance(module, nn.Embedding) and "embed_tokens" in name
        if not (is_table or isinstance(module, nn.Linear)) or module.weight.shape[1] % GROUP:
            continue
        if module.weight.data_ptr() in seen:  # tied to the embeddings, which come first
            continue
        seen.add(module.weight.data_ptr())
        part = next(part for part, pattern in PARTS.items() if re.search(pattern, name))
        module.weight.data.copy_(torch.from_numpy(fake_quantised(module.weight.data.numpy(), weights[part])))
        count += 1
    return count


def make(family, weights: dict, spec: Spec) -> None:
    folder = FIXTURES / "quantised" / spec.name
    family.write(folder, spec)
    quantised = copy.copy(family)
    counts = []

    def load(folder):
        model = family.load(folder)
        counts.append(quantise(model, weights))
        return model

    quantised.load = load
    tensors, report = make_families.expected(quantised, spec, folder)
    save_file(tensors, folder / "expected.safetensors")
    inputs = {name: {"visuals": entry.get("visuals", [])} for name, entry in report["inputs"].items()}
    write_json(folder / "expected.json", {"weights": weights, "inputs": inputs})
    for file in folder.iterdir():
        if not re.fullmatch(KEPT, file.name):
            file.unlink()
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{spec.name}: {size // 1000} kB, {counts[0]} matrices", flush=True)


def main(names: list[str]) -> None:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for family, weights, spec in SPECS:
        if not names or spec.name in names:
            make(family, weights, spec)


if __name__ == "__main__":
    main(sys.argv[1:])
