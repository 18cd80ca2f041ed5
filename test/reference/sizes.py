"""Every size, count, rectangle and position that transformers rounds, over thousands of sizes and settings.

    python test/reference/sizes.py                 # two minutes; writes test/fixtures/sizes.json
    python test/reference/sizes.py BLOCK 1200      # what transformers says for the 100 cases from the 1200th on

Calls transformers' own functions. `test/model/sizes.test.ts` makes the same cases (`Cases` is there too) and compares
digests, of 100 cases each. With torchvision beside the rest, whose compiled operators are not needed.
"""

import hashlib
import json
import math
import struct
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_processing_utils import get_patch_output_size, select_best_resolution
from transformers.image_transforms import center_crop, get_resize_output_image_size, get_size_with_aspect_ratio
from transformers.image_transforms import resize as pil_resize
from transformers.image_utils import ChannelDimension, SizeDict, get_image_size_for_max_height_width
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava_next import modeling_llava_next as next_model
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor
from transformers.models.llava_onevision import modeling_llava_onevision as onevision_model
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.llava_onevision.video_processing_llava_onevision import LlavaOnevisionVideoProcessor
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.video_utils import VideoMetadata, default_sample_indices_fn
from transformers.vision_utils import get_vision_cu_seqlens, get_vision_position_ids, get_vision_window_index

BLOCK = 100
EXTREMES = [
    (1, 1), (1, 2), (2, 1), (1, 5000), (5000, 1), (2, 5000), (5000, 2), (1, 200), (200, 1), (1, 201), (201, 1), (3, 600),
    (601, 3), (336, 336), (672, 672), (384, 384), (1600, 1600), (1200, 2000), (2000, 1200), (2304, 2304), (14, 14), (28, 28),
    (42, 42), (70, 70), (70, 69), (60, 60), (84, 70), (56, 70), (20, 12), (35, 63), (1536, 1152), (1921, 1920), (4032, 3024),
]  # fmt: skip


class Cases:
    """A generator of whole numbers, the same in sizes.test.ts."""

    def __init__(self, seed: int):
        self.state = seed

    def below(self, n: int) -> int:
        self.state = (self.state * 1664525 + 1013904223) % 2**32
        return (self.state >> 8) % n

    def side(self, most: int) -> int:
        """Small ones as often as large ones."""
        return 1 + self.below(min(most, 2 ** (1 + self.below(most.bit_length()))))

    def size(self, most: int) -> tuple[int, int]:
        kind = self.below(4)
        if kind == 0:  # a square, or nearly
            side = self.side(most)
            return side, max(1, side + self.below(3) - 1)
        if kind == 1:  # near a multiple of what tiles and patches are
            unit = [2, 7, 12, 14, 28, 48, 112, 336, 384][self.below(9)]
            near = lambda: min(most, max(1, unit * (1 + self.below(max(1, most // unit))) + self.below(3) - 1))  # noqa: E731
            return near(), near()
        if kind == 2:  # of a simple ratio
            ratio = (1 + self.below(12), 1 + self.below(12))
            times = 1 + self.below(max(1, most // max(ratio)))
            return min(most, ratio[0] * times), min(most, ratio[1] * times)
        return self.side(most), self.side(most)

    def sizes(self, n: int, most: int) -> list[tuple[int, int]]:
        """[height, width]"""
        extremes = [s for s in EXTREMES if max(s) <= most]
        return extremes + [self.size(most) for _ in range(n - len(extremes))]

    def number(self) -> float:
        """Of frames a second, or seconds: a quotient of two whole numbers."""
        return (1 + self.below(6000)) / (1 + self.below(200))


def grid(tile: int, n: int) -> list[list[int]]:
    return [[tile * i, tile * j] for i in range(1, n + 1) for j in range(1, n + 1)]


# name: pinpoints, tile, features along its side, tiles that a map may have (OneVision)
TILED = {
    "next": (LlavaNextImageProcessorPil.image_grid_pinpoints, 336, 24, None),
    "next-14": ([[14, 28], [28, 14], [28, 28], [42, 14], [14, 42]], 14, 3, None),
    "next-odd": ([[45, 15], [30, 30], [15, 15], [15, 60]], 15, 5, None),
    "onevision-9": (grid(384, 6), 384, 27, 9),
    "onevision-4": (grid(384, 6), 384, 27, 4),
    "onevision-1": (grid(384, 2), 384, 24, 1),
    "onevision-16": (grid(336, 6), 336, 24, 16),
    "onevision-14": (grid(14, 6), 14, 3, 9),
    "onevision-14-2": (grid(14, 6), 14, 3, 2),
    "onevision-14-1": (grid(14, 6), 14, 3, 1),
    "onevision-few": ([[28, 56], [14, 70], [84, 84], [42, 14]], 14, 7, 3),
}  # fmt: skip


def blank(height, width):
    return np.broadcast_to(np.uint8(0), (3, height, width))


def next_counter(pinpoints, tile, side):
    p = LlavaNextProcessor.__new__(LlavaNextProcessor)
    p.image_processor = SimpleNamespace(image_grid_pinpoints=pinpoints)
    p.patch_size, p.num_additional_image_tokens = tile // side, 0
    return p


def onevision_counter(pinpoints, side, most):
    p = LlavaOnevisionProcessor.__new__(LlavaOnevisionProcessor)
    p.image_processor = SimpleNamespace(image_grid_pinpoints=pinpoints)
    p.num_image_tokens, p.vision_aspect_ratio = side**2, f"anyres_max_{most}"
    return p


def tiled(name):
    """Of each size: resolution, resized size, what is left of the features (top, left, height, width), tokens."""
    pinpoints, tile, side, most = TILED[name]
    patch = tile // side
    model = onevision_model if most else next_model
    vision = SimpleNamespace(image_size=tile, patch_size=patch)
    me = SimpleNamespace(config=SimpleNamespace(vision_config=vision, image_grid_pinpoints=pinpoints))
    rows = []
    for height, width in Cases(1).sizes(2500, 5000):
        best = select_best_resolution((height, width), pinpoints)
        fitted = get_patch_output_size(blank(height, width), best, ChannelDimension.FIRST)
        high, wide = model.get_anyres_image_grid_shape((height, width), pinpoints, tile)
        crops = model.image_size_to_num_patches((height, width), pinpoints, tile)
        assert crops == 1 + high * wide
        places = torch.arange(high * side * wide * side).reshape(1, high * side, wide * side)
        shown = model.unpad_image(places, (height, width))
        first = int(shown.flatten()[0]) if shown.numel() else 0
        features = torch.zeros(crops, side**2, 1)
        sizes = torch.tensor([[height, width]])
        if most:
            count = onevision_counter(pinpoints, side, most)._get_number_of_features(height, width, tile, tile)
            try:
                packed = onevision_model.LlavaOnevisionModel.pack_image_features(
                    me, [features], sizes, image_newline=torch.ones(1), vision_aspect_ratio=f"anyres_max_{most}"
                )[1].item()
            except RuntimeError:  # sizes of 0
                packed = None
        else:
            count = next_counter(pinpoints, tile, side)._get_number_of_features(height, width, tile, tile)
            packed = next_model.LlavaNextModel.pack_image_features(
                me, [features], sizes, vision_feature_select_strategy="full", image_newline=torch.ones(1)
            )[1].item()
        assert packed in (count, None), (name, height, width, count, packed)
        place = [first // (wide * side), first % (wide * side)] if shown.numel() else None
        rows.append([*best, *fitted, place, list(shown.shape[1:]), packed])
    return rows


# HF's `size` of a resize that keeps the aspect
EDGES = [
    {"shortest_edge": 224}, {"shortest_edge": 336}, {"shortest_edge": 7}, {"shortest_edge": 14, "longest_edge": 20},
    {"shortest_edge": 336, "longest_edge": 672}, {"shortest_edge": 800, "longest_edge": 1333},
    {"shortest_edge": 30, "longest_edge": 20}, {"max_height": 336, "max_width": 500}, {"max_height": 9, "max_width": 7},
]  # fmt: skip


def edges(size):
    rows = []
    for height, width in Cases(2).sizes(4000, 5000):
        if "longest_edge" in size:
            found = get_size_with_aspect_ratio((height, width), size["shortest_edge"], size["longest_edge"])
        elif "max_height" in size:
            found = get_image_size_for_max_height_width((height, width), size["max_height"], size["max_width"])
        else:
            found = get_resize_output_image_size(
                blank(height, width), size["shortest_edge"], default_to_square=False, input_data_format=ChannelDimension.FIRST
            )
        rows.append(list(found))
    return rows


def crops(kind):
    """What a centre crop shows of a picture whose places are numbered from 1: where it starts, with what, where it ends."""
    cases = Cases(3)
    rows = []
    for height, width in cases.sizes(1500, 90):
        crop = (cases.side(80), cases.side(80))
        places = np.arange(1, height * width + 1, dtype=np.int32).reshape(1, height, width)
        if kind == "images":
            out = center_crop(places, crop, input_data_format=ChannelDimension.FIRST)[0]
        else:
            size = SizeDict(height=crop[0], width=crop[1])
            out = TorchvisionBackend.center_crop(None, torch.from_numpy(places), size)[0].numpy()
        ys, xs = np.nonzero(out)
        assert out.shape == crop
        (y, x), (y1, x1) = (ys[0], xs[0]), (ys[-1], xs[-1])
        rows.append([int(v) for v in (y, x, out[y, x], y1, x1, out[y1, x1])])
    return rows


def smart():
    cases = Cases(4)
    rows = []
    for height, width in cases.sizes(12000, 6000):
        factor = [28, 56, 8, 6, 2, 32, 36, 1][cases.below(8)]
        least, most = sorted((cases.side(2**24), cases.side(2**24)))
        if cases.below(3) == 0:  # a bound that the size is at
            least = most = height * width
        try:
            rows.append(list(smart_resize(height, width, factor, least, most)))
        except ValueError:
            rows.append(None)
    return rows


def capped():
    """What `cap_pixels_per_frame` lets a video's frames have."""
    cases = Cases(5)
    rows = []
    before = TorchvisionBackend.resize
    TorchvisionBackend.resize = lambda self, image, size, resample: [size.height, size.width]
    try:
        for height, width in cases.sizes(3000, 4000):
            patch, temporal = [14, 4, 7][cases.below(3)], 1 + cases.below(3)
            least, most = sorted((cases.side(2**20), cases.side(2**24)))
            processor = Qwen2VLVideoProcessor(max_video_tokens=cases.side(2**17))
            size = SizeDict(shortest_edge=least, longest_edge=most)
            video = torch.zeros(1).expand(1, cases.side(800), 3, height, width)
            try:
                rows.append(
                    processor.resize(
                        video, size, None, factor=2 * patch, temporal_factor=temporal, cap_pixels_per_frame=True
                    )
                )
            except ValueError:
                rows.append(None)
    finally:
        TorchvisionBackend.resize = before
    return rows


def sampled():
    """Qwen2-VL's frames: how many, and a digest of which."""
    cases = Cases(6)
    processor = Qwen2VLVideoProcessor()
    rows = []
    for _ in range(6000):
        total = cases.side(5000)
        rate = [24, 25, 29.97, 30, 60, cases.number()][cases.below(6)]
        wanted = [1, 2, 0.5, 22, 3.3, cases.number()][cases.below(6)]
        least, most, temporal = cases.side(16), cases.side(1000), 1 + cases.below(3)
        asked = {"num_frames": cases.side(64)} if cases.below(5) == 0 else {"fps": wanted}
        info = VideoMetadata(total_num_frames=total, fps=rate)
        try:
            at = processor.sample_frames(
                info, temporal_patch_size=temporal, min_frames=least, max_frames=most, **asked
            ).tolist()
            rows.append([len(at), digest([at])])
        except (ValueError, ZeroDivisionError, RuntimeError):
            rows.append(None)
    return rows


def even():
    """OneVision's frames, where its settings ask for some."""
    cases = Cases(11)
    rows = []
    for _ in range(4000):
        total, rate = cases.side(5000), [24, 25, 29.97, 30, 60, cases.number()][cases.below(6)]
        wanted = [1, 2, 0.5, 22, 3.3, cases.number()][cases.below(6)]
        asked = {"num_frames": cases.side(64)} if cases.below(2) == 0 else {"fps": wanted}
        try:
            at = default_sample_indices_fn(VideoMetadata(total_num_frames=total, fps=rate), **asked).tolist()
            rows.append([len(at), digest([at])] if at else None)
        except ValueError:
            rows.append(None)
    return rows


def uniform():
    cases = Cases(7)
    return [np.linspace(0, cases.side(20000) - 1, [16, 1, 8, 32, 7][cases.below(5)], dtype=int).tolist() for _ in range(4000)]


def positions():
    """Qwen2.5-VL's positions of a video amid text, by way of a float32 tensor of seconds, as its processor gives it."""
    cases = Cases(8)
    rows = []
    for _ in range(1500):
        merge = 1 + cases.below(3)
        high, wide, time = 1 + cases.below(4), 1 + cases.below(4), cases.side(300)
        per_second = [4, 2, 1, 25, 2.5][cases.below(5)]
        rate, temporal = [24, 25, 29.97, 30, cases.number()][cases.below(5)], 1 + cases.below(4)
        me = SimpleNamespace(
            config=SimpleNamespace(
                vision_config=SimpleNamespace(spatial_merge_size=merge, tokens_per_second=per_second)
            )
        )
        me.get_vision_position_ids = partial(Qwen2_5_VLModel.get_vision_position_ids, me)
        types = torch.tensor([[0] + [2] * (time * high * wide) + [0]])
        found = Qwen2_5_VLModel.get_rope_index(
            me,
            torch.zeros_like(types),
            types,
            video_grid_thw=torch.tensor([[time, high * merge, wide * merge]]),
            second_per_grid_ts=torch.tensor([temporal / rate]),
        )[0]
        rows.append([types.shape[1], digest([found[:, 0].tolist()])])
    return rows


def windows():
    """Order, windows, frames, rows and columns of Qwen2.5-VL's patches."""
    cases = Cases(9)
    rows = []
    for _ in range(600):
        merge, patch = 1 + cases.below(3), [14, 4][cases.below(2)]
        window = merge * patch * (1 + cases.below(5)) + cases.below(patch)
        grids = torch.tensor(
            [[1 + cases.below(3), merge * (1 + cases.below(12)), merge * (1 + cases.below(12))] for _ in range(1 + cases.below(3))]
        )
        order, bounds = get_vision_window_index(grids, merge, window, patch)
        frames = get_vision_cu_seqlens(grids)
        places = get_vision_position_ids(grids, merge).reshape(-1, merge**2, 2)[order].reshape(-1, 2).T
        rows.append(digest([order.tolist(), bounds.tolist(), frames.tolist(), places.tolist()]))
    return rows


SHOWN = {"do_rescale": False, "do_normalize": False}
SIZES_OF = {
    "clip": (CLIPImageProcessorPil, {"size": {"shortest_edge": 12}, "crop_size": {"height": 12, "width": 12}}),
    "clip-smaller": (CLIPImageProcessorPil, {"size": {"shortest_edge": 9}, "crop_size": {"height": 14, "width": 15}}),
    "clip-bound": (
        CLIPImageProcessorPil,
        {"size": {"shortest_edge": 12, "longest_edge": 17}, "crop_size": {"height": 13, "width": 13}},
    ),
    "clip-box": (
        CLIPImageProcessorPil,
        {"size": {"max_height": 12, "max_width": 17}, "crop_size": {"height": 13, "width": 13}},
    ),
    "clip-unsized": (CLIPImageProcessorPil, {"do_resize": False, "crop_size": {"height": 14, "width": 21}}),
    "clip-nearest": (
        CLIPImageProcessorPil,
        {"size": {"shortest_edge": 12}, "crop_size": {"height": 12, "width": 10}, "resample": 0},
    ),
    "siglip": (SiglipImageProcessorPil, {"size": {"height": 12, "width": 10}}),
    "pad": (
        LlavaImageProcessorPil,
        {"do_pad": True, "size": {"shortest_edge": 12}, "crop_size": {"height": 9, "width": 14}},
    ),
    "pad-narrow": (
        LlavaImageProcessorPil,
        {"do_pad": True, "size": {"shortest_edge": 12}, "crop_size": {"height": 14, "width": 9}},
    ),
    "next": (
        LlavaNextImageProcessorPil,
        {
            "size": {"shortest_edge": 14},
            "crop_size": {"height": 14, "width": 14},
            "image_grid_pinpoints": TILED["next-14"][0],
        },
    ),
    "onevision": (
        LlavaOnevisionImageProcessorPil,
        {"size": {"height": 14, "width": 14}, "image_grid_pinpoints": grid(14, 3)},
    ),
    "onevision-several": (
        LlavaOnevisionImageProcessorPil,
        {"size": {"height": 14, "width": 14}, "image_grid_pinpoints": grid(14, 3)},
    ),
    "qwen": (
        Qwen2VLImageProcessorPil,
        {"size": {"shortest_edge": 64, "longest_edge": 1024}, "patch_size": 4, "merge_size": 2, "temporal_patch_size": 1},
    ),
    "frames": (
        LlavaOnevisionVideoProcessor,
        {"size": {"shortest_edge": 9}, "do_center_crop": True, "crop_size": {"height": 14, "width": 15}},
    ),
}  # fmt: skip


def picture(height: int, width: int) -> np.ndarray:
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((x * x * 3 + y * y * 5 + x * y * 7 + c * 41) // 4 % 256).astype(np.uint8)


def pillow(self, image, size, resample=None, **kwargs):
    """Videos by Pillow, whose fixed point is finer than torch's; sizes as HF computes them."""
    found = get_resize_output_image_size(image, size.shortest_edge, False, input_data_format=ChannelDimension.FIRST)
    done = [pil_resize(f.numpy(), found, 3, input_data_format="channels_first") for f in image.reshape(-1, *image.shape[-3:])]
    return torch.from_numpy(np.stack(done)).reshape(*image.shape[:-2], *found)


def pixels(name):
    """Digests of all 8-bit values that the tower would be shown."""
    kind, settings = SIZES_OF[name]
    processor = kind(**settings)
    rows = []
    sizes = Cases(10).sizes(300, 90) + [(1, 700), (700, 1), (3, 311), (401, 2)]
    before = TorchvisionBackend.resize
    TorchvisionBackend.resize = pillow
    try:
        for height, width in sizes:
            image = picture(height, width)
            try:
                if name == "frames":
                    out = processor([np.stack([image])], input_data_format="channels_last", **SHOWN)["pixel_values_videos"][0]
                else:
                    image = Image.fromarray(image)
                    images = [[image, image]] if name == "onevision-several" else [image]
                    out = processor(images, **SHOWN)["pixel_values"]
                    if name == "onevision-several":
                        out = out[:1]
                rows.append(hashlib.sha256(np.ascontiguousarray(np.asarray(out).astype(np.uint8))).hexdigest()[:12])
            except ValueError:
                rows.append(None)
    finally:
        TorchvisionBackend.resize = before
    return rows


SCALINGS = [
    {}, {"rescale_factor": 1 / 256}, {"rescale_factor": 1 / 127.5}, {"rescale_factor": 0.5, "image_mean": [100.0, 3.5, 60.0]},
    {"do_normalize": False}, {"do_normalize": False, "rescale_factor": 1 / 127.5}, {"do_rescale": False},
    {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
    {"do_rescale": False, "do_normalize": False},
]  # fmt: skip


def scaled():
    """What the 256 values become, of an image and of a frame."""
    levels = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    rows = []
    for settings in SCALINGS:
        off = {"do_resize": False, "do_center_crop": False, **settings}
        image = CLIPImageProcessorPil(**off)([Image.fromarray(levels)])["pixel_values"][0]
        frame = LlavaOnevisionVideoProcessor(**off)([np.stack([levels])])["pixel_values_videos"][0][0]
        for values in (image, frame):
            numbers = np.asarray(values).astype(np.float32).flatten().tolist()
            rows.append(hashlib.sha256(struct.pack(f"<{len(numbers)}f", *numbers)).hexdigest()[:12])
    return rows


def digest(rows: list) -> str:
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()[:12]


BLOCKS = {
    **{f"tiled {name}": partial(tiled, name) for name in TILED},
    **{f"edges {i}": partial(edges, size) for i, size in enumerate(EDGES)},
    "crop images": partial(crops, "images"),
    "crop frames": partial(crops, "frames"),
    "smart_resize": smart,
    "cap_pixels_per_frame": capped,
    "sample_frames": sampled,
    "default_sample_indices_fn": even,
    "linspace": uniform,
    "get_rope_index": positions,
    "windows": windows,
    **{f"pixels {name}": partial(pixels, name) for name in SIZES_OF},
    "scaling": scaled,
}


def main():
    if len(sys.argv) > 1:
        name, first = sys.argv[1], int(sys.argv[2])
        for i, row in enumerate(BLOCKS[name]()[first : first + BLOCK]):
            print(first + i, json.dumps(row))
        return
    report = {"tiled": TILED, "edges": EDGES, "pixels": {n: s for n, (_, s) in SIZES_OF.items()}, "scalings": SCALINGS}
    report["digests"], report["shown"] = {}, {}
    for name, block in BLOCKS.items():
        rows = block()
        assert all(not isinstance(v, float) or math.isfinite(v) for row in rows for v in (row if isinstance(row, list) else []))
        report["digests"][name] = [digest(rows[i : i + BLOCK]) for i in range(0, len(rows), BLOCK)]
        report["shown"][name] = rows[: len(EXTREMES)] if name.startswith(("tiled", "edges")) else rows[:3]
        print(name, len(rows), file=sys.stderr)
    lines = []
    for key, value in report.items():
        inner = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) if isinstance(value, dict) else None
        lines.append(f"{json.dumps(key)}: " + (f"{{\n{inner}\n}}" if inner else json.dumps(value)))
    target = Path(__file__).parent.parent / "fixtures" / "sizes.json"
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
