"""Writes test/fixtures/processor: picture files that are awkward to decode, and what PIL and transformers make of them,
of odd resizes and of odd prompts. By hand: python test/reference/processor_fixtures.py"""

import hashlib
import json
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from tokenizers import Tokenizer
from transformers import AutoProcessor, PreTrainedTokenizerFast
from transformers.image_utils import load_image

from pictures import scene

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
FOLDER = FIXTURES / "processor"


def sha256(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def interlaced_png(samples: np.ndarray, depth: int, colour: int) -> bytes:
    """Adam7, which Pillow reads but does not write. samples: [height, width, channels]; every row has another filter."""
    height, width, channels = samples.shape
    step = max(1, depth * channels // 8)
    raw = b""
    for x0, dx, y0, dy in [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]:
        part = samples[y0::dy, x0::dx]
        if part.size == 0:
            continue
        above = None
        for n, row in enumerate(part):
            if depth == 16:
                line = row.astype(">u2").tobytes()
            else:
                bits = ((row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
                line = np.packbits(bits.reshape(-1)).tobytes()
            above = above or bytes(len(line))
            kind = n % 5
            out = bytearray(len(line))
            for i, value in enumerate(line):
                a = line[i - step] if i >= step else 0
                b = above[i]
                c = above[i - step] if i >= step else 0
                near = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
                out[i] = (value - [0, a, b, (a + b) // 2, near][kind]) & 255
            raw += bytes([kind]) + bytes(out)
            above = line
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 1)
    parts = [chunk(b"IHDR", header)]
    if colour == 3:
        parts.append(chunk(b"PLTE", bytes(np.random.default_rng(1).integers(0, 256, 3 * 2**depth - 3, dtype=np.uint8))))
    half = zlib.compress(raw)
    parts += [chunk(b"IDAT", half[:100]), chunk(b"IDAT", half[100:]), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def make_pictures() -> dict:
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture = scene(45, 29, seed=11)
    exif = Image.Exif()
    for orientation in range(2, 9):
        exif[0x0112] = orientation
        picture.crop((0, 0, 23, 11)).save(FOLDER / f"orientation-{orientation}.png", exif=exif)
    exif[0x0112] = 6
    picture.save(FOLDER / "turned.webp", exif=exif, quality=80)
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        picture.save(FOLDER / f"{name}.jpg", quality=85, subsampling=subsampling)
    picture.save(FOLDER / "progressive.jpg", quality=70, progressive=True)
    picture.save(FOLDER / "lossy.webp", quality=70)
    sheer = picture.copy()
    alpha = np.random.default_rng(2).integers(0, 256, (29, 45), dtype=np.uint8)
    alpha[:9] = 0
    sheer.putalpha(Image.fromarray(alpha))
    sheer.save(FOLDER / "alpha.webp", lossless=True, exact=True)
    sheer.save(FOLDER / "alpha-lossy.webp", quality=70, exact=True)
    # a colour profile with red and green exchanged: whoever applies it shows other colours
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    picture.save(FOLDER / "profile.jpg", quality=85, icc_profile=bytes(profile))
    picture.save(FOLDER / "profile.webp", quality=70, icc_profile=bytes(profile))
    few = picture.quantize(32)
    few.save(FOLDER / "palette.gif")
    few.save(FOLDER / "transparent.gif", transparency=5)
    rng = np.random.default_rng(3)
    for depth, colour, channels in [(1, 0, 1), (4, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3), (2, 3, 1), (8, 3, 1), (8, 4, 2), (8, 6, 4), (16, 6, 4)]:
        samples = rng.integers(0, 2**depth, (13, 11, channels))
        if depth == 16 and colour == 0:
            samples //= 150  # about half of them below 256
        (FOLDER / f"adam7-{colour}-{depth}.png").write_bytes(interlaced_png(samples, depth, colour))
    (FOLDER / "adam7-1x1.png").write_bytes(interlaced_png(rng.integers(0, 256, (1, 1, 3)), 8, 2))
    expected = {}
    for file in sorted(FOLDER.iterdir()):
        if file.suffix in (".png", ".jpg", ".webp", ".gif"):
            pixels = np.array(load_image(str(file)))
            expected[file.name] = {"width": pixels.shape[1], "height": pixels.shape[0], "sha256": sha256(pixels)}
    return expected


def noise(width: int, height: int) -> np.ndarray:
    """A picture that the test can make for itself: a linear congruential generator's high bytes."""
    state, out = 12345, np.empty(width * height * 3, np.uint8)
    for i in range(len(out)):
        state = (state * 1664525 + 1013904223) % 2**32
        out[i] = state >> 24
    return out.reshape(height, width, 3)


def make_resizes() -> list:
    rng = np.random.default_rng(4)
    rows = []
    sizes = [(2, 220, 8, 5), (2, 201, 16, 120), (1, 1, 7, 5), (64, 48, 64, 11), (33, 20, 50, 20), (67, 120, 8, 120)]
    sizes += [tuple(int(n) for n in np.exp(rng.uniform(0, np.log(90), 4))) for _ in range(35)]
    for width, height, to_width, to_height in sizes:
        source = Image.fromarray(noise(width, height))
        digests = [sha256(np.array(source.resize((to_width, to_height), resample))) for resample in range(6)]
        rows.append({"from": [width, height], "to": [to_width, to_height], "sha256": digests})
    return rows


WORDS = "USER: |ASSISTANT:|<image>|\n|  | |red| circle|é|♥|漢字|😀|\t|<s>|</s>|<pad>|<unk>|What is in| the image?|▁|<0x0A>|a|Z|\u200d|\ufeff|\u00a0|<ima|ge>|e\u0301|�|.|, |'s".split("|")


def tokenizer_rows(tokenizer, n: int) -> list:
    rng = random.Random(5)
    size = len(tokenizer)
    rows = []
    for _ in range(n):
        text = "".join(rng.choice(WORDS) for _ in range(rng.randint(0, 10)))
        ids = [rng.choice([rng.randrange(size + 4), rng.randrange(3, 259), rng.randrange(259, size)]) for _ in range(rng.randint(0, 12))]
        rows.append(
            {
                "text": text,
                "ids": tokenizer(text).input_ids,
                "bare": tokenizer(text, add_special_tokens=False).input_ids,
                "decode": ids,
                "decoded": tokenizer.decode(ids),
                "skipped": tokenizer.decode(ids, skip_special_tokens=True),
            }
        )
    return rows


def make_tokenizers() -> list:
    """The fixture's own tokenizer, and variants of it as other checkpoints have them: changes to its JSON."""
    base = json.loads((FIXTURES / "checkpoints" / "llava-f32" / "tokenizer.json").read_text())
    metaspace = lambda scheme: {"normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}}
    variants = [
        ("as it is", {}, {}),
        ("Metaspace, first", metaspace("first"), {}),
        ("Metaspace, always", metaspace("always"), {}),
        ("no beginning", {}, {"add_bos_token": False}),
        ("with an end", {"post_processor": None}, {"add_bos_token": True, "add_eos_token": True}),
    ]
    out = []
    for name, changes, config in variants:
        backend = Tokenizer.from_str(json.dumps(base | changes))
        tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **tokens, **config)
        out.append({"name": name, "tokenizer": changes, "config": tokens | config, "rows": tokenizer_rows(tokenizer, 60)})
    return out


def make_prompts() -> list:
    """Through the whole of LlavaProcessor: messages to prompt, prompt and images to token ids."""
    checkpoint = FIXTURES / "checkpoints" / "llava-f32"
    processor = AutoProcessor.from_pretrained(checkpoint)
    picture = scene(20, 30, seed=7)
    rows = []
    for prompt in ["<image>", "a<image>b <image>", "<image><image>\n", "no image", "", "<s>USER: <image>\nWhat?"]:
        n = prompt.count("<image>")
        ids = processor(text=prompt, images=[picture] * n or None, add_special_tokens=not prompt.startswith("<s>"))["input_ids"][0]
        rows.append({"prompt": prompt, "images": n, "ids": [int(i) for i in ids]})
    return rows


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    found = {"pictures": make_pictures(), "resizes": make_resizes(), "tokenizers": make_tokenizers(), "prompts": make_prompts()}
    (FOLDER / "expected.json").write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n")
