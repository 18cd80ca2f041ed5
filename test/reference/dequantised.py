"""Quantised weights in numpy, by what docs/weights.md says of them.

Run by itself, it compares what bench/load-7b.ts --prefill wrote with transformers on the dequantised weights:

    python test/reference/dequantised.py FOLDER FILE

FOLDER is what `headlight quantize` wrote.
"""

import json
import sys
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch

GROUP = 32
FORMATS = {"q8": (8, 128), "q4": (4, 8)}


def unpack(words: np.ndarray, scales: np.ndarray, name: str) -> np.ndarray:
    """A matrix [N, K] in float32."""
    bits, zero = FORMATS[name]
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    q = ((words[..., None] >> shifts) & (2**bits - 1)).reshape(len(words), -1)
    return (q.astype(np.float32) - zero) * scales.astype(np.float32).repeat(GROUP, axis=1)


def fake_quantised(matrix: np.ndarray, name: str) -> np.ndarray:
    """What is left of a matrix [N, K] in float32: each group of 32 numbers along K has a scale in half precision."""
    groups = matrix.astype(np.float32).reshape(len(matrix), -1, GROUP)
    extreme = np.take_along_axis(groups, np.abs(groups).argmax(axis=-1, keepdims=True), axis=-1)
    wanted = extreme / np.float32(-8) if name == "q4" else np.abs(extreme) / np.float32(127)
    scale = wanted.astype(np.float16).astype(np.float32)
    zero, most = (8, 15) if name == "q4" else (128, 255)
    q = np.clip(np.rint(np.divide(groups, scale, out=np.zeros_like(groups), where=scale != 0)) + zero, 0, most)
    return ((q - zero) * scale).reshape(matrix.shape).astype(np.float32)


def dequantised(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder that `headlight quantize` wrote, in float32."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(file, "pt") as tensors:
            for name in tensors.keys():
                stem, _, ending = name.rpartition(".")
                if ending in FORMATS:
                    words = tensors.get_tensor(name).view(torch.int32).numpy().view(np.uint32)
                    scales = tensors.get_tensor(f"{name}.scales").numpy()
                    found[stem] = torch.from_numpy(unpack(words, scales, ending))
                elif ending != "scales":
                    found[name] = tensors.get_tensor(name).float()
    return found


def main(folder: Path, file: str) -> None:
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    config = json.loads((folder / "config.json").read_text())
    config.pop("quantization_config")
    config = LlavaConfig.from_dict(config)
    config._attn_implementation = "eager"
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    model.to_empty(device="cpu")
    wanted = dict(model.state_dict())
    names = {own(name): name for name in wanted}
    for name, tensor in dequantised(folder).items():
        wanted.pop(names[name]).copy_(tensor)
    left = [name for name in wanted if "position_ids" not in name and not unread(name, config)]
    assert not left, left
    fix_buffers(model)
    model.eval()
    given = safetensors.numpy.load_file(file)
    z = {}
    for layer, block in enumerate(model.model.language_model.layers):
        block.self_attn.o_proj.register_forward_pre_hook(
            lambda _, inputs, layer=layer: z.__setitem__(f"blocks.{layer}.attn.hook_z", inputs[0][0, -1])
        )
    with torch.no_grad():
        logits = model(
            input_ids=torch.from_numpy(given["input_ids"]).long(),
            pixel_values=torch.from_numpy(given["pixel_values"]),
            logits_to_keep=1,
        ).logits[0, -1]
    for name, expected in {**z, "logits": logits}.items():
        expected = expected.numpy().ravel()
        error = np.abs(given[name].ravel() - expected).max() / np.abs(expected).max()
        print(f"{name:28} {error:.2e} of the largest, {np.abs(expected).max():.3g}")


def own(name: str) -> str:
    """The name that bench/load-7b.ts writes, which is the canonical one of src/checkpoint/names.ts."""
    name = name.removeprefix("model.")
    return name if "vision_model" in name else name.replace("vision_tower.", "vision_tower.vision_model.")


def unread(name: str, config) -> bool:
    last = config.vision_config.num_hidden_layers - 1
    return "post_layernorm" in name or f"encoder.layers.{last}." in name


def fix_buffers(model) -> None:
    """Tables that are computed, not loaded."""
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            inv_freq, _ = module.compute_default_rope_parameters(module.config)
            module.inv_freq.copy_(inv_freq)
        if hasattr(module, "position_ids"):
            module.position_ids.copy_(torch.arange(module.position_ids.shape[-1])[None])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
