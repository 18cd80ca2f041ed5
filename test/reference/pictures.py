"""Draws the pictures of test/fixtures/images: a textured scene and its awkward relatives."""

import struct
import zlib
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


# width, height, seed
FAMILY_PICTURES = {"tall.png": (24, 60, 9)} | {f"frame-{i}.png": (26, 22, 20 + i) for i in range(5)}


def draw_family_pictures(folder: Path) -> None:
    """The pictures that only test/fixtures/families uses."""
    for file, (width, height, seed) in FAMILY_PICTURES.items():
        scene(width, height, seed).save(folder / file)


def save_rgb16(pixels: np.ndarray, path: Path) -> None:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(data)


def draw_awkward_pictures(folder: Path) -> None:
    """One file for every property that decoders and resizers get wrong."""
    photo = scene(96, 64, seed=3)
    photo.save(folder / "photo.jpg", quality=90)
    scene(400, 300, seed=4).save(folder / "large.jpg", quality=80)
    scene(3, 2, seed=5).save(folder / "tiny-3x2.png")
    scene(1, 1, seed=5).save(folder / "one-pixel.png")
    scene(1, 40, seed=6).save(folder / "strip-1x40.png")
    scene(50, 2, seed=6).save(folder / "strip-50x2.png")
    scene(37, 53, seed=7).save(folder / "odd-37x53.png")
    photo.convert("L").save(folder / "grey.png")
    photo.convert("L").save(folder / "grey.jpg", quality=90)
    photo.convert("1").save(folder / "one-bit.png")
    photo.convert("CMYK").save(folder / "cmyk.jpg", quality=90)
    for orientation in (3, 6, 8):  # upside down; turn right to view; turn left to view
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo.save(folder / f"exif-{orientation}.jpg", quality=90, subsampling=0, exif=exif)

    y, x = np.mgrid[0:40, 0:56]
    alpha = np.clip((x - 10) * 8, 0, 255).astype(np.uint8)  # transparent on the left, opaque on the right
    small = scene(56, 40, seed=8)
    rgba = small.copy()
    rgba.putalpha(Image.fromarray(alpha))
    rgba.save(folder / "rgba.png")
    rgba.convert("LA").save(folder / "grey-alpha.png")
    palette = small.quantize(31, dither=Image.Dither.NONE)
    palette.save(folder / "palette.png")
    palette.save(folder / "palette-transparent.png", transparency=int(np.bincount(np.array(palette).ravel()).argmax()))
    grey16 = (np.array(small.convert("L")).astype(np.uint16) << 8) + (x * 4).astype(np.uint16)
    Image.fromarray(grey16).save(folder / "grey-16bit.png")
    save_rgb16(np.array(small).astype(np.uint16) * 256 + (x * 4)[..., None].astype(np.uint16), folder / "rgb-16bit.png")
    small.save(folder / "lossless.webp", lossless=True)
