"""Regenerates every fixture of test/fixtures that this folder owns: python test/reference/make.py"""

import json
from pathlib import Path

from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

import checkpoints
import oracle
import pictures
import processor
import sav_reference

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


def said(role: str, text: str, images: int = 0) -> dict:
    return {"role": role, "content": [{"type": "image"}] * images + [{"type": "text", "text": text}]}


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


INPUTS = {
    "scene": {"images": ["scene.png"], "messages": [said("user", "What is in this image?", 1)]},
    "wide": {"images": ["wide.png"], "messages": [said("user", "Describe the scene in one sentence.", 1)]},
    "text": {"images": [], "messages": [said("user", "Is a circle round? Answer with Yes or No.")]},
    "turns": {
        "images": ["wide.png"],
        "messages": [
            said("user", "How many shapes are there?", 1),
            said("assistant", "There are three."),
            said("user", "Why?"),
        ],
    },
    "pair": {"images": ["scene.png", "wide.png"], "messages": [said("user", "Are these images of the same class?", 2)]},
    # not from a chat template; bytes, accents and several spaces in the text around the image
    "raw": {"images": ["scene.png"], "prompt": "Où est  l'été?<image> ♥ answer:\n"},
}


def make_checkpoints() -> None:
    root = FIXTURES / "checkpoints"
    for spec in checkpoints.SPECS:
        folder = root / spec.name
        checkpoints.write(folder, spec)
        entries = INPUTS if spec.name.startswith("llava") else {name: INPUTS[name] for name in ("scene", "text")}
        tensors, report = oracle.expected(folder, FIXTURES / "images", entries, whole="scene")
        save_file(tensors, folder / "expected.safetensors")
        write_json(folder / "expected.json", report)
        margin = min(entry["min_margin"] for entry in report["inputs"].values())
        print(f"{spec.name}: smallest arg-max margin {margin:.2e} of max |logit|")
    checkpoints.write_original_names(root / "llava-f16", root / "llava-f16-original")
    write_json(root / "llava-f16-original" / "expected.json", {"same_as": "llava-f16"})


def make_pixels() -> None:
    folder = FIXTURES / "images"
    pictures.draw_awkward_pictures(folder)
    tensors, report = processor.expected(folder)
    save_arrays(tensors, folder / "expected.safetensors")
    write_json(folder / "expected.json", report)


def make_sav() -> None:
    folder = FIXTURES / "sav"
    sav_reference.write_data(folder)
    tensors, report = sav_reference.expected(FIXTURES / "checkpoints" / "llava-f32", folder)
    save_arrays(tensors, folder / "expected.safetensors")
    write_json(folder / "expected.json", report)


if __name__ == "__main__":
    pictures.draw_model_pictures(FIXTURES / "images")
    make_checkpoints()
    make_pixels()
    make_sav()
