"""Ways to break transformers' models of the families, one thing at a time. A mutation is f(model, stack), which returns False
where a checkpoint has nothing to break. `stack` undoes what is not the model's own."""

from functools import wraps
from unittest.mock import patch

import torch
from torch.nn import functional as F
from transformers import vision_utils
from transformers.activations import ACT2FN
from transformers.models.llava_next import modeling_llava_next
from transformers.models.llava_onevision import modeling_llava_onevision
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.models.qwen2_vl import modeling_qwen2_vl

LLAVA, QWEN, WINDOWED, CONTRASTIVE = "llava", "qwen", "qwen2_5", "contrastive"
MUTATIONS = {}


def mutation(what: str, needs: str | None = None):
    """`needs`: without which nothing shows: "videos" or "pair" among the inputs; "f32", a checkpoint of small tolerance."""

    def register(function):
        MUTATIONS[what] = function, needs
        return function

    return register


def kind(model) -> str | None:
    if hasattr(model, "text_model"):
        return CONTRASTIVE
    if hasattr(model.model, "visual"):
        return QWEN
    return LLAVA if hasattr(model.model, "image_newline") else None


def is_windowed(model) -> bool:
    return kind(model) == QWEN and hasattr(model.config.vision_config, "window_size")


def is_onevision(model) -> bool:
    return kind(model) == LLAVA and hasattr(model.model, "apply_pooling")


def decoder(model):
    if kind(model) == CONTRASTIVE:
        return None
    return getattr(model.model, "language_model", model.model)


def text_config(model):
    return getattr(model.config, "text_config", model.config)


def tower(model):
    return {LLAVA: lambda: model.model.vision_tower, QWEN: lambda: model.model.visual, CONTRASTIVE: lambda: model.vision_model}.get(
        kind(model), lambda: None
    )()


def encoder_blocks(model) -> list:
    """Of the towers that are CLIP's or SigLIP's."""
    if kind(model) == CONTRASTIVE:
        return [*model.vision_model.encoder.layers, *model.text_model.encoder.layers]
    return list(model.model.vision_tower.encoder.layers) if kind(model) == LLAVA else []


def swap_forward(stack, module, forward) -> None:
    stack.enter_context(patch.object(module, "forward", forward))


def modeling_of(model):
    return modeling_llava_onevision if is_onevision(model) else modeling_llava_next


# ---- decoder


def window_mask(stack, block, width: int | None) -> None:
    right = block.self_attn.forward

    def forward(*args, attention_mask=None, **kwargs):
        n_queries, n_keys = attention_mask.shape[-2:]
        query = torch.arange(n_keys - n_queries, n_keys)[:, None]
        key = torch.arange(n_keys)
        seen = (key <= query) & (key > query - width if width else key >= 0)
        mask = torch.zeros(n_queries, n_keys).masked_fill(~seen, torch.finfo(torch.float32).min)
        return right(*args, attention_mask=mask[None, None], **kwargs)

    swap_forward(stack, block.self_attn, forward)


def sliding_blocks(model) -> list:
    if decoder(model) is None or not getattr(text_config(model), "sliding_window", None):
        return []
    types = getattr(text_config(model), "layer_types", None) or ["sliding_attention"] * len(decoder(model).layers)
    return [b for b, t in zip(decoder(model).layers, types) if t == "sliding_attention"]


for by, word in ((None, "ignored"), (1, "one token longer"), (-1, "one token shorter")):

    @mutation(f"sliding window: {word}")
    def _(model, stack, by=by):
        blocks = sliding_blocks(model)
        for block in blocks:
            window_mask(stack, block, by and text_config(model).sliding_window + by)
        return bool(blocks)


@mutation("sliding window: in the layers below max_window_layers too")
def _(model, stack):
    blocks = sliding_blocks(model)
    if not blocks or len(blocks) == len(decoder(model).layers):
        return False
    for block in decoder(model).layers:
        window_mask(stack, block, text_config(model).sliding_window)


for part in ("q_proj", "k_proj", "v_proj"):

    @mutation(f"bias left out: {part}")
    def _(model, stack, part=part):
        modules = [getattr(b.self_attn, part) for b in decoder(model).layers] if decoder(model) else []
        modules = [m for m in modules if m.bias is not None]
        for module in modules:
            module.bias.data.zero_()
        return bool(modules)


# ---- LLaVA-NeXT and OneVision: packing


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


# ---- CLIP's and SigLIP's blocks


def other_activation(old, new, what, modules):
    @mutation(f"{what}: {new} for {old}", needs="f32")
    def _(model, stack):
        found = modules(model, old)
        for module, name in found:
            setattr(module, name, ACT2FN[new])
        return bool(found)


def encoder_mlps(model, old) -> list:
    return [(b.mlp, "activation_fn") for b in encoder_blocks(model) if b.mlp.config.hidden_act == old]


def projectors(model, old) -> list:
    return [(model.model.multi_modal_projector, "act")] if kind(model) == LLAVA and model.config.projector_hidden_act == old else []


def qwen_mlps(model, old) -> list:
    if kind(model) != QWEN or model.config.vision_config.hidden_act != old:
        return []
    return [(b.mlp, "act_fn" if is_windowed(model) else "act") for b in model.model.visual.blocks]


def mergers(model, old) -> list:
    return [(model.model.visual.merger.mlp, "1")] if kind(model) == QWEN else []


other_activation("gelu_pytorch_tanh", "gelu", "towers", encoder_mlps)
other_activation("quick_gelu", "gelu", "towers", encoder_mlps)
other_activation("gelu", "quick_gelu", "towers", encoder_mlps)
other_activation("gelu", "gelu_pytorch_tanh", "projector", projectors)
other_activation("quick_gelu", "gelu", "Qwen tower", qwen_mlps)
other_activation("silu", "gelu", "Qwen tower", qwen_mlps)
other_activation("gelu", "gelu_pytorch_tanh", "merger", mergers)


@mutation("tower: bias of the patch convolution left out")
def _(model, stack):
    convolution = getattr(getattr(tower(model), "embeddings", None), "patch_embedding", None)
    if convolution is None or convolution.bias is None:
        return False
    convolution.bias.data.zero_()


@mutation("tower: positions shifted by one")
def _(model, stack):
    if not hasattr(tower(model), "embeddings"):
        return False
    weight = tower(model).embeddings.position_embedding.weight
    weight.data = weight.data.roll(-1, 0)


@mutation("tower: scale of the whole width")
def _(model, stack):
    for block in encoder_blocks(model):
        block.self_attn.scale = block.self_attn.embed_dim**-0.5
    return bool(encoder_blocks(model))


# ---- Qwen's towers


@mutation("Qwen tower: rotary axes exchanged")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    rotary = model.model.visual.rotary_pos_emb
    right = rotary.forward
    swap_forward(stack, rotary, lambda x, position_ids: right(x, position_ids.flip(-1)))


@mutation("Qwen tower: rotary places row by row, not square by square")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    rotary = model.model.visual.rotary_pos_emb
    right = rotary.forward
    by_rows = lambda ids: ids[(ids[:, 0] * 1000 + ids[:, 1]).argsort(stable=True)]
    swap_forward(stack, rotary, lambda x, position_ids: right(x, by_rows(position_ids)))


@mutation("Qwen tower: rotary base of the decoder")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    n = len(model.model.visual.rotary_pos_emb.inv_freq)
    model.model.visual.rotary_pos_emb.inv_freq = 1000.0 ** (-torch.arange(n) / n)


@mutation("Qwen tower: query, key and value in another order")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    for block in model.model.visual.blocks:
        for parameter in (block.attn.qkv.weight, block.attn.qkv.bias):
            parameter.data = parameter.data.unflatten(0, (3, -1))[[0, 2, 1]].flatten(0, 1)


@mutation("Qwen tower: fused rows as head, then query, key, value")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    for block in model.model.visual.blocks:
        for parameter in (block.attn.qkv.weight, block.attn.qkv.bias):
            parameter.data = parameter.data.unflatten(0, (block.attn.num_heads, 3, -1)).transpose(0, 1).flatten(0, 2)


@mutation("Qwen tower: pictures and frames see each other")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    modeling = modeling_qwen2_5_vl if is_windowed(model) else modeling_qwen2_vl

    def one(grid_thw, *args, **kwargs):
        total = int(grid_thw.prod(-1).sum())
        return torch.tensor([0, total], dtype=torch.int32), total

    stack.enter_context(patch.object(modeling, "get_vision_attention_seqlens", one))


for blocks, word in (("all", "ignored"), ("none", "in every block")):

    @mutation(f"Qwen2.5 tower: windows {word}")
    def _(model, stack, blocks=blocks):
        if not is_windowed(model):
            return False
        visual = model.model.visual
        visual.fullatt_block_indexes = list(range(len(visual.blocks))) if blocks == "all" else []


@mutation("Qwen2.5 tower: windows of another size")
def _(model, stack):
    if not is_windowed(model):
        return False
    model.model.visual.window_size += model.config.vision_config.patch_size * model.config.vision_config.spatial_merge_size


@mutation("Qwen2.5 tower: merged squares left in the order of the windows")
def _(model, stack):
    if not is_windowed(model):
        return False
    merger, index = model.model.visual.merger, {}
    right = vision_utils.get_vision_window_index

    def seen(*args, **kwargs):
        index["windows"], bounds = right(*args, **kwargs)
        return index["windows"], bounds

    stack.enter_context(patch.object(modeling_qwen2_5_vl, "get_vision_window_index", seen))
    # what is put back in order afterwards was put out of order once more
    stack.callback(merger.register_forward_hook(lambda m, a, out: out[index["windows"]]).remove)


@mutation("merger: norm left out")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    swap_forward(stack, model.model.visual.merger.ln_q, lambda x: x)


@mutation("merger: squares read by columns")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    by_columns = lambda m, a: (a[0].unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :].flatten(-2),)
    stack.callback(model.model.visual.merger.mlp[0].register_forward_pre_hook(by_columns).remove)


@mutation("merger: norm over the joined square")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    norm = model.model.visual.merger.ln_q
    eps = getattr(norm, "variance_epsilon", None)

    def forward(x):
        joined = x.view(-1, 4 * x.shape[-1])
        if eps is not None:
            scaled = joined * (joined.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
            return scaled.view(x.shape) * norm.weight
        return F.layer_norm(joined, joined.shape[-1:], eps=norm.eps).view(x.shape) * norm.weight + norm.bias

    swap_forward(stack, norm, forward)


@mutation("Qwen tower: frames of a temporal patch exchanged", needs="videos")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    weight = model.model.visual.patch_embed.proj.weight
    weight.data = weight.data.flip(2)


for part in ("gate_proj", "up_proj", "down_proj"):

    @mutation(f"bias left out: Qwen2.5 tower {part}")
    def _(model, stack, part=part):
        if not is_windowed(model):
            return False
        for block in model.model.visual.blocks:
            getattr(block.mlp, part).bias.data.zero_()


# ---- Qwen's positions


def replace_positions(stack, model, change) -> bool:
    if kind(model) != QWEN:
        return False
    rotary = model.model.language_model.rotary_emb
    right = rotary.forward
    swap_forward(stack, rotary, lambda x, position_ids: right(x, change(position_ids)))
    return True


@mutation("positions: height and width exchanged")
def _(model, stack):
    return replace_positions(stack, model, lambda ids: ids[[0, 2, 1]])


@mutation("positions: time and height exchanged")
def _(model, stack):
    return replace_positions(stack, model, lambda ids: ids[[1, 0, 2]])


@mutation("positions: one after another, as of a text")
def _(model, stack):
    return replace_positions(stack, model, lambda ids: torch.arange(ids.shape[2]).expand_as(ids))


@mutation("positions: sections of the three axes in reverse order")
def _(model, stack):
    if kind(model) != QWEN:
        return False
    rotary = model.model.language_model.rotary_emb
    rotary.mrope_section = rotary.mrope_section[::-1]


@mutation("positions: axes interleaved (Qwen3-VL's way)")
def _(model, stack):
    if kind(model) != QWEN:
        return False

    def interleaved(freq):
        n = freq.shape[-1]
        out = torch.stack([freq[i % 3][..., i] for i in range(n)], -1)
        return torch.cat((out, out), -1)

    stack.enter_context(patch.object(model.model.language_model.rotary_emb, "recomposition_frequencies", interleaved))


@mutation("positions: text after a picture goes on from its place in the prompt")
def _(model, stack):
    if kind(model) != QWEN:
        return False

    def change(ids):
        plain = torch.arange(ids.shape[2])
        is_text = (ids[0] == ids[1]) & (ids[1] == ids[2])
        return torch.where(is_text, plain, ids)

    return replace_positions(stack, model, change)


@mutation("positions: tokens_per_second ignored")
def _(model, stack):
    if not is_windowed(model):
        return False
    model.config.vision_config.tokens_per_second = 1


@mutation("positions: seconds of a temporal patch rounded down")
def _(model, stack):
    if not is_windowed(model):
        return False
    right = model.model.get_rope_index

    def rounded(*args, second_per_grid_ts=None, **kwargs):
        seconds = None if second_per_grid_ts is None else second_per_grid_ts.floor()
        return right(*args, second_per_grid_ts=seconds, **kwargs)

    stack.enter_context(patch.object(model.model, "get_rope_index", rounded))


def replace_next_position(stack, model, next_of) -> bool:
    """next_of(prompt's ids [3, batch, pos], tokens since): the positions of a token after the prompt."""
    if kind(model) != QWEN:
        return False
    rotary, seen = model.model.language_model.rotary_emb, {}
    right = rotary.forward

    def forward(x, position_ids):
        if position_ids.shape[-1] > 1:
            seen.update(prompt=position_ids, since=0)
        else:
            position_ids = next_of(seen["prompt"], seen["since"]).expand(position_ids.shape)
            seen["since"] += 1
        return right(x, position_ids)

    swap_forward(stack, rotary, forward)
    return True


@mutation("generation: positions go on from the prompt's length")
def _(model, stack):
    return replace_next_position(stack, model, lambda prompt, since: torch.tensor(prompt.shape[-1] + since))


@mutation("generation: positions go on after the largest, not the last (a video's time overtakes the text)")
def _(model, stack):
    if not is_windowed(model) or model.config.tie_word_embeddings:  # only the f32 checkpoint has such a video
        return False
    return replace_next_position(stack, model, lambda prompt, since: prompt.max() + 1 + since)


# ---- CLIP and SigLIP as a whole


def is_clip(model) -> bool:
    return kind(model) == CONTRASTIVE and hasattr(model, "text_projection")


def replace_text_mask(stack, model, mask_of) -> None:
    for block in model.text_model.encoder.layers:
        right = block.self_attn.forward

        def forward(hidden_states, attention_mask=None, right=right, **kwargs):
            return right(hidden_states, attention_mask=mask_of(hidden_states.shape[1]), **kwargs)

        swap_forward(stack, block.self_attn, forward)


@mutation("text tower: causal where it should not be, or the reverse")
def _(model, stack):
    if kind(model) != CONTRASTIVE:
        return False
    causal = lambda n: torch.full((n, n), torch.finfo(torch.float32).min).triu(1)[None, None]
    replace_text_mask(stack, model, (lambda n: None) if is_clip(model) else causal)


@mutation("text tower: padding hidden (SigLIP)")
def _(model, stack):
    if kind(model) != CONTRASTIVE or is_clip(model):
        return False
    ids = {}
    stack.callback(model.text_model.embeddings.token_embedding.register_forward_pre_hook(lambda m, a: ids.update(x=a[0])).remove)

    def mask_of(n):
        padded = (ids["x"] == 1).cumsum(-1) > 1
        return padded[:, None, None, :] * torch.finfo(torch.float32).min

    replace_text_mask(stack, model, mask_of)


@mutation("text tower: pooled at the last place (CLIP), at the first end token (SigLIP)")
def _(model, stack):
    if kind(model) != CONTRASTIVE:
        return False
    norm, ids = model.text_model.final_layer_norm, {}
    stack.callback(model.text_model.embeddings.token_embedding.register_forward_pre_hook(lambda m, a: ids.update(x=a[0])).remove)
    if is_clip(model):
        right = model.text_model.forward

        def forward(*args, **kwargs):
            out = right(*args, **kwargs)
            out.pooler_output = out.last_hidden_state[:, -1]
            return out

        swap_forward(stack, model.text_model, forward)
        return True
    right_head = model.text_model.head.forward
    seen = {}
    stack.callback(norm.register_forward_hook(lambda m, a, out: seen.update(x=out)).remove)
    ends = lambda: (ids["x"] == 1).int().argmax(-1)
    swap_forward(stack, model.text_model.head, lambda x: right_head(seen["x"][torch.arange(len(x)), ends()]))


@mutation("picture tower: last norm left out")
def _(model, stack):
    if kind(model) != CONTRASTIVE:
        return False
    swap_forward(stack, model.vision_model.post_layernorm, lambda x: x)


@mutation("picture tower: mean of the patches for the class token or the head")
def _(model, stack):
    if kind(model) != CONTRASTIVE:
        return False
    if is_clip(model):
        norm = model.vision_model.post_layernorm
        right, seen = norm.forward, {}
        stack.callback(model.vision_model.encoder.register_forward_hook(lambda m, a, out: seen.update(x=out[0])).remove)
        swap_forward(stack, norm, lambda x: right(seen["x"][:, 1:].mean(1)))
    else:
        swap_forward(stack, model.vision_model.head, lambda x: x.mean(1))


@mutation("SigLIP head: residual left out")
def _(model, stack):
    if kind(model) != CONTRASTIVE or is_clip(model):
        return False
    head = model.vision_model.head
    mlp = head.mlp.forward
    # the stream before the norm is taken off again
    at = {}
    stack.callback(head.layernorm.register_forward_pre_hook(lambda m, a: at.update(x=a[0])).remove)
    swap_forward(stack, head.mlp, lambda x: mlp(x) - at["x"])


@mutation("SigLIP head: query, key and value in another order")
def _(model, stack):
    if kind(model) != CONTRASTIVE or is_clip(model):
        return False
    for parameter in (model.vision_model.head.attention.in_proj_weight, model.vision_model.head.attention.in_proj_bias):
        parameter.data = parameter.data.unflatten(0, (3, -1))[[0, 2, 1]].flatten(0, 1)


@mutation("logits: scale without exp")
def _(model, stack):
    if kind(model) != CONTRASTIVE:
        return False
    model.logit_scale.data = model.logit_scale.data.log()


@mutation("logits: without bias (SigLIP)")
def _(model, stack):
    if kind(model) != CONTRASTIVE or is_clip(model):
        return False
    model.logit_bias.data.zero_()
