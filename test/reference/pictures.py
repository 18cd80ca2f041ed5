"""Draws the pictures of test/fixtures/images: a textured scene and its awkward relatives."""

from pathlib import Path

import numpy as np
from PIL import Image


def scene(width: int, height: int, seed: int) -> Image.Image:
    """A photograph-like picture: smooth light, a few soft discs, fine grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = x / width, y / height
    pixels = np.empty((height, width, 3))
    for channel in range(3):
        a, b, c, phase = rng.uniform(1, 6), rng.uniform(1, 6), rng.uniform(20, 60), rng.uniform(0, 6)
        pixels[..., channel] = 120 + 60 * np.sin(a * x + b * y + phase) + 15 * np.sin(c * (x - y))
    for _ in range(4):
        cx, cy, radius, colour = rng.uniform(), rng.uniform(), rng.uniform(0.08, 0.3), rng.uniform(0, 255, 3)
        inside = 1 / (1 + np.exp(((x - cx) ** 2 + (y - cy) ** 2 - radius**2) * 300))
        pixels = pixels * (1 - inside[..., None]) + colour * inside[..., None]
    pixels += rng.normal(0, 12, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def draw_model_pictures(folder: Path) -> None:
    """The lossless pictures that the checkpoints' inputs use."""
    folder.mkdir(parents=True, exist_ok=True)
    scene(48, 40, seed=1).save(folder / "scene.png")
    scene(61, 23, seed=2).save(folder / "wide.png")
