"""Decoders: windows and biases."""

import torch

from families.mutations.registry import decoder, mutation, swap_forward, text_config


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
