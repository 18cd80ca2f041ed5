"""What settings of transformers change in its own numbers (docs/numbers-differ.md). Run by hand, with torchvision beside the rest.

Prints the largest difference over the largest value, the worst of three pictures, of pixels and of logits at all positions,
against float32 with eager attention and Pillow's resize: python test/reference/settings.py [checkpoint]
"""

import sys

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

FOLDER = sys.argv[1] if len(sys.argv) > 1 else "weights/tiny-llava"
PICTURES = [
    "weights/tiny-llava/tasks/images/warm-cool/test-000.png",  # of the embedded checkpoint's size
    "docs/pictures/attention.png",
    "test/fixtures/images/odd-37x53.png",
]
SETTINGS = {
    "sdpa attention": {"attention": "sdpa"},
    "float64": {"dtype": torch.float64},
    "float16": {"dtype": torch.float16},
    "bfloat16": {"dtype": torch.bfloat16},
    "torchvision's resize": {"backend": "torchvision"},
}


def run(picture, dtype=torch.float32, attention="eager", backend="pil"):
    model = AutoModelForImageTextToText.from_pretrained(FOLDER, dtype=dtype, attn_implementation=attention).eval()
    processor = AutoProcessor.from_pretrained(FOLDER, backend=backend)
    content = [{"type": "image"}, {"type": "text", "text": "What is this?"}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=text, images=Image.open(picture).convert("RGB"), return_tensors="pt")
    pixels = inputs["pixel_values"]
    inputs["pixel_values"] = pixels.to(dtype)
    with torch.no_grad():
        return pixels.double(), model(**inputs).logits.double()


def difference(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


plain = [run(picture) for picture in PICTURES]
for name, setting in SETTINGS.items():
    found = [run(picture, **setting) for picture in PICTURES]
    pixels, logits = (max(difference(a[i], b[i]) for a, b in zip(found, plain)) for i in (0, 1))
    print(f"{name:24} pixels {pixels:.1e}, logits {logits:.1e}")
