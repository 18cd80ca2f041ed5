"""Pixels before rescaling and normalisation, as transformers' PIL image processors make them, for every picture."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import CLIPImageProcessorPil
from transformers.image_utils import load_image
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from pictures import FAMILY_PICTURES

SQUARE = {"do_center_crop": True, "crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 32}, "resample": 3}

# name: (class, settings that differ from CLIPImageProcessor's defaults)
CONFIGS = {
    "clip-32": ("CLIPImageProcessor", SQUARE),
    "clip-45": (
        "CLIPImageProcessor",
        {"crop_size": {"height": 45, "width": 45}, "size": {"shortest_edge": 45}, "resample": 3},
    ),
    "bilinear": ("CLIPImageProcessor", SQUARE | {"resample": 2}),
    "lanczos": ("CLIPImageProcessor", SQUARE | {"resample": 1}),
    "nearest": ("CLIPImageProcessor", SQUARE | {"resample": 0}),
    "box": ("CLIPImageProcessor", SQUARE | {"resample": 4}),
    "hamming": ("CLIPImageProcessor", SQUARE | {"resample": 5}),
    # a crop larger than the resized picture: filled with zeros
    "crop-fills": ("CLIPImageProcessor", SQUARE | {"size": {"shortest_edge": 21}, "crop_size": {"height": 32, "width": 39}}),
    # not square, aspect not kept, nothing cropped
    "stretch": ("CLIPImageProcessor", {"size": {"height": 30, "width": 41}, "do_center_crop": False, "resample": 3}),
    # nothing resized
    "crop-only": ("CLIPImageProcessor", SQUARE | {"do_resize": False, "crop_size": {"height": 24, "width": 25}}),
    # LLaVA's `image_aspect_ratio: pad`: a square filled with the mean colour, then resized
    "pad": ("LlavaImageProcessor", SQUARE | {"do_pad": True}),
    "pad-stretch": (
        "LlavaImageProcessor",
        {"do_pad": True, "do_center_crop": False, "size": {"height": 29, "width": 29}, "resample": 2},
    ),
}
CLASSES = {"CLIPImageProcessor": CLIPImageProcessorPil, "LlavaImageProcessor": LlavaImageProcessorPil}
FEW = (
    "photo.jpg",
    "scene.png",
    "wide.png",
    "odd-37x53.png",
    "tiny-3x2.png",
    "one-pixel.png",
    "strip-1x40.png",
    "strip-50x2.png",
)
FOR_ALL = ("clip-32", "pad")
DECODED_UP_TO = 100  # pixels on the longer edge: larger pictures are stored only resized


def expected(folder: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Tensors `decoded/<file>` [H, W, 3], `<config>/<file>` [3, H, W] in u8, `<config>/<file>/pixel_values` in f32."""
    tensors = {}
    files = sorted(p.name for p in folder.iterdir() if p.suffix in (".png", ".jpg", ".webp"))
    files = [f for f in files if f not in FAMILY_PICTURES]
    for file in files:
        picture = load_image(str(folder / file))  # turns as EXIF says, then convert("RGB")
        if max(picture.size) <= DECODED_UP_TO:
            tensors[f"decoded/{file}"] = np.array(picture)
        if file == "grey-16bit.png":  # Pillow clips its values to 255 (a white picture): also what other decoders give
            high_byte = Image.fromarray((np.array(Image.open(folder / file)) >> 8).astype(np.uint8)).convert("RGB")
            raw = CLIPImageProcessorPil(**SQUARE)(high_byte, do_rescale=False, do_normalize=False)["pixel_values"][0]
            tensors[f"high-byte/decoded/{file}"] = np.array(high_byte)
            tensors[f"high-byte/clip-32/{file}"] = np.ascontiguousarray(raw)
        for name, (kind, settings) in CONFIGS.items():
            if name not in FOR_ALL and file not in FEW:
                continue
            processor = CLASSES[kind](**settings)
            raw = processor(picture, do_rescale=False, do_normalize=False)["pixel_values"][0]
            if raw.dtype != np.uint8:
                raise TypeError(f"{name}/{file}: {raw.dtype}")
            tensors[f"{name}/{file}"] = np.ascontiguousarray(raw)
            if file == "scene.png" and name in ("clip-32", "pad"):
                whole = processor(picture)["pixel_values"][0]
                tensors[f"{name}/{file}/pixel_values"] = np.ascontiguousarray(whole.astype(np.float32))
    configs = {}
    for name, (kind, settings) in CONFIGS.items():
        config = json.loads(CLASSES[kind](**settings).to_json_string())
        configs[name] = config | {"image_processor_type": kind}
    return tensors, {"files": files, "configs": configs}
