"""Qwen2-VL and Qwen2.5-VL: towers, mergers, positions."""

from unittest.mock import patch

import torch
from torch.nn import functional as F
from transformers import vision_utils
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.models.qwen2_vl import modeling_qwen2_vl

from families.mutations.registry import QWEN, is_windowed, kind, mutation, swap_forward


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
    if kind(model) != QWEN or model.config.vision_config.num_heads == 1:
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
