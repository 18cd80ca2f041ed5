"""CLIP and SigLIP as a whole."""

import torch

from families.mutations.registry import CONTRASTIVE, kind, mutation, swap_forward


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
    stack.callback(
        model.text_model.embeddings.token_embedding.register_forward_pre_hook(lambda m, a: ids.update(x=a[0])).remove
    )

    def mask_of(n):
        padded = (ids["x"] == 1).cumsum(-1) > 1
        return padded[:, None, None, :] * torch.finfo(torch.float32).min

    replace_text_mask(stack, model, mask_of)


@mutation("text tower: pooled at the last place (CLIP), at the first end token (SigLIP)")
def _(model, stack):
    if kind(model) != CONTRASTIVE:
        return False
    norm, ids = model.text_model.final_layer_norm, {}
    stack.callback(
        model.text_model.embeddings.token_embedding.register_forward_pre_hook(lambda m, a: ids.update(x=a[0])).remove
    )
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
