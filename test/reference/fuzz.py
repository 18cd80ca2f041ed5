"""Random checkpoints of every family and what transformers makes of them, for fuzz.ts. By hand, never in CI.

    python test/reference/fuzz.py FOLDER [first seed] [last seed]

A checkpoint a seed: a specification of the fixtures with other sizes and settings, some of them left to transformers'
defaults. Half of the checkpoints are as transformers saves them.
"""

import copy
import dataclasses
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlavaForConditionalGeneration, logging

import checkpoints
import make_families
from families.base import Spec, write_json
from families.contrastive import Contrastive
from families.llava_next import LlavaNext, pinpoints
from families.qwen_vl import QwenVL

ACTIVATIONS = ("silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu")
CHOICES = {  # of settings that nothing else depends on
    "hidden_act": ACTIVATIONS, "projector_hidden_act": ACTIVATIONS, "vocab_size": (433, 440, 512),
    "intermediate_size": (20, 33, 77), "num_hidden_layers": (1, 2, 3), "depth": (1, 2, 3), "mlp_ratio": (1, 2, 4),
    "layer_norm_eps": (1e-6, 1e-5, 0.3), "rms_norm_eps": (1e-6, 1e-5, 1e-2), "tie_word_embeddings": (True, False),
    "attention_bias": (True, False), "mlp_bias": (True, False), "multimodal_projector_bias": (True, False),
    "temporal_patch_size": (1, 2, 3), "tokens_per_second": (1, 2, 3), "rope_theta": (100.0, 10000.0, 1e6),
}
NEEDED = ("intermediate_size", "num_hidden_layers", "depth", "vocab_size", "tie_word_embeddings", "temporal_patch_size")
BANDS = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}


class Llava(LlavaNext):
    """LLaVA-1.5, whose fixtures are older than families."""

    model_class = LlavaForConditionalGeneration

    def write_settings(self, folder, spec):
        return checkpoints.write_settings(folder, spec) - 2  # <image> and <pad> are the tokenizer's last

    def stored_inputs(self, model, inputs):
        found = {"input_ids": inputs["input_ids"][0].to(torch.int32)}
        return found | {name: inputs[name] for name in ("pixel_values",) if name in inputs}


def draw(r: random.Random, part: dict, names: str) -> None:
    """Sets some of CHOICES, or leaves them to the defaults now and then."""
    for name in names.split():
        part.pop(name, None)
        if name in NEEDED or r.random() < 0.9:
            part[name] = r.choice(CHOICES[name])


def varied(r: random.Random, seed: int, family, base: Spec) -> Spec:
    text, vision, top, pixels = (copy.deepcopy(part) for part in (base.text, base.vision, base.top, base.pixels))
    decoder = getattr(family, "decoder", getattr(family, "model_type", "qwen2"))
    if isinstance(family, Llava):
        decoder = text["model_type"] = r.choice(["llama", "mistral", "qwen2"])
        vision["model_type"] = r.choice(["clip_vision_model", "siglip_vision_model"])
        top["vision_feature_select_strategy"] = r.choice(["default", "full"])
    vary_encoder(r, text) if isinstance(family, Contrastive) else vary_decoder(r, text, decoder)
    if isinstance(family, QwenVL):
        vary_patches(r, text, vision, pixels)
    elif vision:
        vary_encoder(r, vision)
        patch = r.choice([3, 4, 5, 8])
        vision |= {"patch_size": patch, "image_size": patch * r.choice([2, 3, 4]) + r.randrange(patch)}
        if isinstance(family, Contrastive):
            text["projection_size"] = vision["hidden_size"]
        else:
            vary_projector(r, text, vision, top)
    changed = {"text": text, "vision": vision, "top": top, "pixels": pixels, "projector": None, "tower_mlp": None}
    if base.layout != "old":  # which is a single file
        changed |= {"layout": r.choice(["hub", "new"]), "shards": r.choice([1, 2, 3])}
    if family.generates:
        changed["eos"] = r.choice([base.eos, r.sample(range(3, 400), 3)])
    dtype, name = r.choice([torch.float32, torch.float16, torch.bfloat16]), f"{seed:04}-{base.name.rsplit('-', 1)[0]}"
    return dataclasses.replace(base, name=name, seed=seed, whole=None, dtype=dtype, **changed)


def vary_encoder(r, tower: dict) -> None:
    heads = r.choice([1, 2, 3])
    tower |= {"num_attention_heads": heads, "hidden_size": heads * r.choice([5, 8, 12, 17])}
    draw(r, tower, "num_hidden_layers intermediate_size hidden_act layer_norm_eps")


def vary_decoder(r, text: dict, kind: str) -> None:
    heads, half = r.choice([1, 2, 3, 4, 6]), r.choice([4, 5, 8, 11, 16])
    for name in ("head_dim", "rope_theta", "rope_scaling", "rope_parameters", "use_sliding_window", "sliding_window"):
        text.pop(name, None)
    text |= {"num_attention_heads": heads, "num_key_value_heads": r.choice([n for n in (1, 2, 3, 6) if heads % n == 0])}
    text |= {"hidden_size": heads * half * 2}
    draw(r, text, "num_hidden_layers intermediate_size vocab_size tie_word_embeddings hidden_act rms_norm_eps")
    draw(r, text, "attention_bias mlp_bias")  # settings of Llama, which the others pass over
    if kind in ("llama", "mistral") and r.random() < 0.5:
        text |= {"head_dim": half * 2, "hidden_size": heads * r.choice([7, 10, 13])}
    if kind == "mistral":
        text["sliding_window"] = r.choice([None, 7, 40])  # not 1: transformers' cache then drops nothing
    elif kind != "llama" and r.random() < 0.5:
        text |= {"use_sliding_window": True, "sliding_window": r.choice([9, 33]), "max_window_layers": r.randint(0, 2)}
        if r.random() < 0.3:
            text["layer_types"] = r.choices(["full_attention", "sliding_attention"], k=text["num_hidden_layers"])
    rope = r.choice([{"type": "default"}, {"type": "linear", "factor": 2.5}, {"type": "llama3"} | BANDS])
    if kind.endswith("_vl"):
        first, second = sorted(r.sample(range(1, half), 2))
        rope = {"type": "default", "mrope_section": [first, second - first, half - second]}
    newer = r.random() < 0.5
    text["rope_parameters" if newer else "rope_scaling"] = rope | ({"rope_type": rope["type"]} if newer else {})
    draw(r, text["rope_parameters"] if newer else text, "rope_theta")


def vary_patches(r, text: dict, vision: dict, pixels: dict) -> None:
    heads, patch, merge = r.choice([1, 2, 3]), r.choice([2, 3, 4, 5]), r.choice([1, 2, 3])
    width, unit = heads * 4 * r.choice([1, 2, 4]), patch * merge
    vision |= {"num_heads": heads, "patch_size": patch, "spatial_merge_size": merge}
    draw(r, vision, "depth hidden_act temporal_patch_size")
    if "embed_dim" in vision:
        vision |= {"embed_dim": width, "hidden_size": text["hidden_size"]}
        draw(r, vision, "mlp_ratio")
    else:
        vision |= {"hidden_size": width, "out_hidden_size": text["hidden_size"]}
        vision |= {"window_size": r.randint(unit, 4 * unit), "fullatt_block_indexes": r.sample(range(3), r.randint(0, 2))}
        draw(r, vision, "intermediate_size tokens_per_second")
    pixels.clear()
    pixels |= {"min_pixels": unit**2 * r.choice([1, 4, 9]), "max_pixels": unit**2 * r.choice([12, 20, 40])}


def vary_projector(r, text: dict, vision: dict, top: dict) -> None:
    states = range(-vision["num_hidden_layers"] - 1, vision["num_hidden_layers"] + 1)
    top["vision_feature_layer"] = r.choice([r.choice(states), r.choices(states, k=2)])
    top["tie_word_embeddings"] = text["tie_word_embeddings"]
    draw(r, top, "projector_hidden_act multimodal_projector_bias")
    if "image_grid_pinpoints" in top:
        grids = [(rows, columns) for rows in (1, 2, 3) for columns in (1, 2, 3)]
        top["image_grid_pinpoints"] = pinpoints(vision["image_size"], r.sample(grids, r.randint(1, 9)))
    if "vision_aspect_ratio" in top:
        top["vision_aspect_ratio"] = f"anyres_max_{r.choice([1, 2, 4])}"


def main(out: str, first: str = "0", last: str = "99") -> None:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    llava = dataclasses.replace(make_families.specs()[0][1], name="llava-1.5", eos=2, top={})
    bases = [(Llava("llama", ""), llava), *make_families.specs()]
    for seed in range(int(first), int(last) + 1):
        r, (family, base) = random.Random(seed), bases[seed % len(bases)]
        spec = varied(r, seed, family, base)
        folder = Path(out) / spec.name
        family.write(folder, spec)
        if r.random() < 0.5:
            model = family.load(folder).to(spec.dtype)
            for file in folder.glob("model*"):
                file.unlink()
            model.save_pretrained(folder, max_shard_size="60KB")
        tensors, report = make_families.expected(family, spec, folder)
        save_file(tensors, folder / "expected.safetensors")
        write_json(folder / "expected.json", report)
        print(spec.name, spec.dtype_name, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
