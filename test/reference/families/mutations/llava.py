"""LLaVA-NeXT and OneVision: packing and features."""

from functools import wraps
from unittest.mock import patch

import torch
from torch.nn import functional as F
from transformers.models.llava_next import modeling_llava_next
from transformers.models.llava_onevision import modeling_llava_onevision

from families.mutations.registry import LLAVA, is_onevision, kind, mutation


def modeling_of(model):
    return modeling_llava_onevision if is_onevision(model) else modeling_llava_next


def change_packing(stack, model, before=None, after=None) -> None:
    """before(list of [crop, patch, width]), after(one picture's packed features, its unpadded (rows, columns) or None)."""
    modeling, right = modeling_of(model), model.model.pack_image_features
    unpad, shapes = modeling.unpad_image, []

    def unpadded(tensor, size):
        out = unpad(tensor, size)
        shapes.append(tuple(out.shape[1:]))
        return out

    def pack(features, *args, **kwargs):
        shapes.clear()
        stack_of = before(list(features)) if before else features
        packed, lengths = right(stack_of, *args, **kwargs)
        if after:
            grids = iter(shapes)
            packed = [after(p, next(grids) if len(f) > 1 else None) for p, f in zip(packed, features)]
        return packed, lengths

    stack.enter_context(patch.object(modeling, "unpad_image", unpadded))
    stack.enter_context(patch.object(model.model, "pack_image_features", pack))


def tiled(change):
    return lambda features: [torch.cat((f[:1], change(f[1:]))) if len(f) > 1 else f for f in features]


@mutation("packing: row ends of zeros")
def _(model, stack):
    if kind(model) != LLAVA:
        return False
    model.model.image_newline.data.zero_()


@mutation("packing: row ends before the rows")
def _(model, stack):
    if kind(model) != LLAVA:
        return False

    def after(packed, grid):
        if grid is None or is_onevision(model):  # OneVision may have shrunk the grid
            return packed
        rows, columns = grid
        base = len(packed) - rows * (columns + 1)
        turned = packed[base:].unflatten(0, (rows, columns + 1)).roll(1, 1).flatten(0, 1)
        return torch.cat((packed[:base], turned))

    if is_onevision(model):
        return False
    change_packing(stack, model, after=after)


@mutation("packing: tiles before the whole picture")
def _(model, stack):
    if kind(model) != LLAVA:
        return False
    change_packing(stack, model, before=lambda features: [f.roll(-1, 0) for f in features])


@mutation("packing: tiles in reverse order")
def _(model, stack):
    if kind(model) != LLAVA:
        return False
    change_packing(stack, model, before=tiled(lambda tiles: tiles.flip(0)))


@mutation("packing: tiles side by side without their rows interleaved")
def _(model, stack):
    if kind(model) != LLAVA:
        return False

    def mixed(tiles):  # as if [tiles, rows, columns] were read as [rows, tiles, columns]
        side = int(tiles.shape[1] ** 0.5)
        split = tiles.unflatten(1, (side, side))
        return split.transpose(0, 1).reshape(split.shape).flatten(1, 2)

    change_packing(stack, model, before=tiled(mixed))


@mutation("packing: unpadded one row or column off")
def _(model, stack):
    if kind(model) != LLAVA:
        return False
    modeling = modeling_of(model)
    right = modeling.unpad_image

    def shifted(tensor, size):
        cut = right(tensor, size)
        axes = [axis for axis in (1, 2) if cut.shape[axis] != tensor.shape[axis]]
        return right(tensor.roll(1, axes), size) if axes else cut

    stack.enter_context(patch.object(modeling, "unpad_image", shifted))


@mutation("packing: pictures of a pair exchanged", needs="pair")
def _(model, stack):
    if not is_onevision(model):
        return False
    change_packing(stack, model, before=lambda features: features[::-1] if all(len(f) == 1 for f in features) else features)


def replace_interpolation(stack, change) -> None:
    right = F.interpolate
    changed = lambda x, size=None, mode="nearest", **kwargs: change(right, x, size)
    stack.enter_context(patch.object(F, "interpolate", changed))


INTERPOLATIONS = {
    "with aligned corners": lambda right, x, size: right(x, size, mode="bilinear", align_corners=True),
    "by the nearest": lambda right, x, size: right(x, size, mode="nearest"),
    "with antialiasing": lambda right, x, size: right(x, size, mode="bilinear", antialias=True),
    "by means": lambda right, x, size: F.adaptive_avg_pool2d(x, size),
    "with height and width exchanged": lambda right, x, size: right(x.transpose(2, 3), size, mode="bilinear"),
}
for word, change in INTERPOLATIONS.items():

    @mutation(f"OneVision: tiles and frames shrunk {word}")
    def _(model, stack, change=change):
        if not is_onevision(model):
            return False
        replace_interpolation(stack, change)


@mutation("OneVision: frames in reverse order", needs="videos")
def _(model, stack):
    if not is_onevision(model):
        return False
    right = model.model.apply_pooling
    stack.enter_context(patch.object(model.model, "apply_pooling", lambda x: right(x).flip(0)))


@mutation("OneVision: the row end of a video before its frames", needs="videos")
def _(model, stack):
    if not is_onevision(model):
        return False
    right = model.model.get_video_features

    @wraps(right)
    def rolled(*args, **kwargs):
        out = right(*args, **kwargs)
        out.pooler_output = out.pooler_output.roll(1, 1)
        return out

    stack.enter_context(patch.object(model.model, "get_video_features", rolled))


@mutation("features: post_layernorm applied")
def _(model, stack):
    if kind(model) != LLAVA:
        return False
    projector, norm = model.model.multi_modal_projector, model.model.vision_tower.post_layernorm
    width = norm.normalized_shape[0]
    change = lambda m, a: (torch.cat([norm(x) for x in a[0].split(width, -1)], -1),)
    stack.callback(projector.register_forward_pre_hook(change).remove)


@mutation("features: layers of the list exchanged")
def _(model, stack):
    if kind(model) != LLAVA or isinstance(model.config.vision_feature_layer, int):
        return False
    model.config.vision_feature_layer = model.config.vision_feature_layer[::-1]
