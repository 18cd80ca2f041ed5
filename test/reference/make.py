"""Regenerates every fixture of test/fixtures that this folder owns: python test/reference/make.py"""

import json
from pathlib import Path

from safetensors.torch import save_file

import checkpoints
import oracle
import pictures

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


def said(role: str, text: str, images: int = 0) -> dict:
    return {"role": role, "content": [{"type": "image"}] * images + [{"type": "text", "text": text}]}


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
    for spec in checkpoints.SPECS:
        folder = FIXTURES / "checkpoints" / spec.name
        checkpoints.write(folder, spec)
        tensors, report = oracle.expected(folder, FIXTURES / "images", INPUTS, whole="scene")
        save_file(tensors, folder / "expected.safetensors")
        (folder / "expected.json").write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n")
        margin = min(entry["min_margin"] for entry in report["inputs"].values())
        print(f"{spec.name}: smallest arg-max margin {margin:.2e} of max |logit|")


if __name__ == "__main__":
    pictures.draw_model_pictures(FIXTURES / "images")
    make_checkpoints()
