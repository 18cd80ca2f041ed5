"""Breaks the model in one place at a time and prints how far the compared activations move: MUTATIONS.md.

python test/reference/mutate.py > test/reference/MUTATIONS.md     (after make.py and make_families.py; exits 1 if a
mutation could pass)
"""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import torch
from torch import nn
from torch.nn import functional as F
from transformers import logging
from transformers.activations import ACT2FN
from transformers.models.llama import modeling_llama

import make
import mutate_families
import oracle

TOLERANCE = {"llava-f32": 1e-4, "llava-f16": 2e-3, "llava-bf16": 2e-3, "rope-linear": 1e-4, "rope-llama3": 1e-4}
INPUTS = ("scene", "pair")
NEEDED = 50  # times the tolerance
MUTATIONS = {}


def mutation(what):
    """Registers f(model, stack); f returns False where the fixture has nothing to break."""

    def register(function):
        MUTATIONS[what] = function
        return function

    return register


def blocks(model):
    return model.model.language_model.layers


def tower_blocks(model):
    return model.model.vision_tower.encoder.layers


def rotary(model):
    return model.model.language_model.rotary_emb


def replace_rotation(stack, function):
    stack.enter_context(patch.object(modeling_llama, "apply_rotary_pos_emb", function))


def replace_mask(stack, model, change):
    """Every decoder layer sees change(mask) for its additive mask."""
    for block in blocks(model):
        forward = block.self_attn.forward
        wrapped = lambda *a, attention_mask=None, forward=forward, **k: forward(
            *a, attention_mask=change(attention_mask), **k
        )
        stack.enter_context(patch.object(block.self_attn, "forward", wrapped))


def replace_forward(stack, module, forward):
    stack.enter_context(patch.object(module, "forward", forward))


# ---- decoder: rotary embedding


@mutation("rope: another base frequency")
def _(model, stack):
    frequencies = rotary(model).inv_freq
    n = len(frequencies)
    base = model.config.text_config.rope_parameters["rope_theta"]
    rotary(model).inv_freq = frequencies * ((500000.0 if base == 10000 else 10000.0) / base) ** (-torch.arange(n) / n)


@mutation("rope: scaling ignored")
def _(model, stack):
    config = model.config.text_config
    if config.rope_parameters["rope_type"] == "default":
        return False
    rotary(model).inv_freq = modeling_llama.LlamaRotaryEmbedding.compute_default_rope_parameters(config)[0]


@mutation("rope: llama3 without the smooth band")
def _(model, stack):
    settings = model.config.text_config.rope_parameters
    if settings["rope_type"] != "llama3":
        return False
    plain = modeling_llama.LlamaRotaryEmbedding.compute_default_rope_parameters(model.config.text_config)[0]
    long = 2 * torch.pi / plain > settings["original_max_position_embeddings"] / settings["high_freq_factor"]
    rotary(model).inv_freq = torch.where(long, plain / settings["factor"], plain)


@mutation("rope: neighbours paired instead of halves")
def _(model, stack):
    def turn(x, cos, sin):
        n = x.shape[-1] // 2
        a, b = x[..., 0::2], x[..., 1::2]
        c, s = cos[..., :n].unsqueeze(1), sin[..., :n].unsqueeze(1)
        return torch.stack((a * c - b * s, b * c + a * s), -1).flatten(-2)

    replace_rotation(stack, lambda q, k, cos, sin, **_: (turn(q, cos, sin), turn(k, cos, sin)))


@mutation("rope: not applied")
def _(model, stack):
    replace_rotation(stack, lambda q, k, cos, sin, **_: (q, k))


@mutation("rope: turned backwards")
def _(model, stack):
    right = modeling_llama.apply_rotary_pos_emb
    replace_rotation(stack, lambda q, k, cos, sin, **_: right(q, k, cos, -sin))


@mutation("rope: keys left unrotated")
def _(model, stack):
    right = modeling_llama.apply_rotary_pos_emb
    replace_rotation(stack, lambda q, k, cos, sin, **_: (right(q, k, cos, sin)[0], k))


@mutation("rope: positions from 1 (shows in rot_q, rot_k only)")
def _(model, stack):
    right = rotary(model).forward
    replace_forward(stack, rotary(model), lambda x, position_ids: right(x, position_ids + 1))


# ---- decoder: attention


@mutation("attention: scale of hidden / heads instead of head_dim")
def _(model, stack):
    config = model.config.text_config
    size = config.hidden_size // config.num_attention_heads
    if size == config.head_dim:
        return False
    for block in blocks(model):
        block.self_attn.scaling = size**-0.5


@mutation("attention: no scale")
def _(model, stack):
    for block in blocks(model):
        block.self_attn.scaling = 1.0


@mutation("attention: no causal mask")
def _(model, stack):
    replace_mask(stack, model, torch.zeros_like)


@mutation("attention: sees one key too many")
def _(model, stack):
    replace_mask(stack, model, lambda mask: torch.cat((mask[..., 1:], torch.zeros_like(mask[..., :1])), -1))


@mutation("attention: does not see its own key")
def _(model, stack):
    def hide(mask):
        hidden = mask + torch.full(mask.shape[-2:], torch.finfo(mask.dtype).min).diagonal().diag()
        hidden[..., 0, 0] = 0
        return hidden

    replace_mask(stack, model, hide)


@mutation("attention: key/value head h % n instead of h // group")
def _(model, stack):
    config = model.config.text_config
    if config.num_key_value_heads in (1, config.num_attention_heads):
        return False
    stack.enter_context(patch.object(modeling_llama, "repeat_kv", lambda x, n: x.repeat(1, n, 1, 1)))


@mutation("attention: queries read as [dHead, head]")
def _(model, stack):
    config = model.config.text_config
    for block in blocks(model):
        weight = block.self_attn.q_proj.weight
        weight.data = weight.unflatten(0, (config.num_attention_heads, -1)).transpose(0, 1).reshape(weight.shape).contiguous()


@mutation("attention: values rotated too")
def _(model, stack):
    def rotate_values(block):
        right, cell = block.self_attn.forward, block.self_attn.v_proj
        at = {}

        def forward(*args, position_embeddings=None, **kwargs):
            at["angles"] = position_embeddings
            return right(*args, position_embeddings=position_embeddings, **kwargs)

        def after(module, args, out):
            v = out.unflatten(-1, (-1, block.self_attn.head_dim)).transpose(1, 2)
            return modeling_llama.apply_rotary_pos_emb(v, v, *at["angles"])[0].transpose(1, 2).flatten(-2)

        replace_forward(stack, block.self_attn, forward)
        stack.callback(cell.register_forward_hook(after).remove)

    for block in blocks(model):
        rotate_values(block)


# ---- decoder: norms, MLP, residual


def each_rms_norm(model):
    for block in blocks(model):
        yield from (block.input_layernorm, block.post_attention_layernorm)
    yield model.model.language_model.norm


@mutation("RMS norm: eps of 1e-6")
def _(model, stack):
    for norm in each_rms_norm(model):
        norm.variance_epsilon = 1e-6


@mutation("RMS norm: eps outside the root")
def _(model, stack):
    for norm in each_rms_norm(model):
        forward = lambda x, n=norm: n.weight * x / (x.pow(2).mean(-1, keepdim=True).sqrt() + n.variance_epsilon)
        replace_forward(stack, norm, forward)


@mutation("RMS norm: mean subtracted")
def _(model, stack):
    for norm in each_rms_norm(model):
        forward = lambda x, n=norm: F.layer_norm(x, x.shape[-1:], n.weight, None, n.variance_epsilon)
        replace_forward(stack, norm, forward)


@mutation("RMS norm: weight of 1 + w")
def _(model, stack):
    for norm in each_rms_norm(model):
        norm.weight.data += 1


@mutation("final norm left out")
def _(model, stack):
    replace_forward(stack, model.model.language_model.norm, lambda x: x)


@mutation("MLP: GELU for SiLU")
def _(model, stack):
    for block in blocks(model):
        block.mlp.act_fn = nn.GELU()


@mutation("MLP: gate and up swapped")
def _(model, stack):
    for block in blocks(model):
        block.mlp.gate_proj, block.mlp.up_proj = block.mlp.up_proj, block.mlp.gate_proj


@mutation("layers in another order")
def _(model, stack):
    layers = blocks(model)
    layers[0].load_state_dict({k: v.clone() for k, v in layers[1].state_dict().items()})


@mutation("MLP reads the stream before attention")
def _(model, stack):
    for block in blocks(model):
        at = {}
        stack.callback(block.register_forward_pre_hook(lambda m, a, at=at: at.update(x=a[0])).remove)
        right = block.post_attention_layernorm.forward
        replace_forward(stack, block.post_attention_layernorm, lambda x, at=at, right=right: right(at["x"]))


def drop_biases(what, find):
    @mutation(f"bias left out: {what}")
    def _(model, stack):
        modules = [m for m in find(model) if m.bias is not None]
        for module in modules:
            module.bias.data.zero_()
        return bool(modules)


for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
    drop_biases(part, lambda model, part=part: [getattr(b.self_attn, part) for b in blocks(model)])
for part in ("gate_proj", "up_proj", "down_proj"):
    drop_biases(part, lambda model, part=part: [getattr(b.mlp, part) for b in blocks(model)])


# ---- tower


def replace_activation(what, find, old, new):
    @mutation(f"{what}: {new} for {old}")
    def _(model, stack):
        if find(model) != old:
            return False
        if what == "projector":
            model.model.multi_modal_projector.act = ACT2FN[new]
        else:
            for block in tower_blocks(model):
                block.mlp.activation_fn = ACT2FN[new]


VARIANTS = ("quick_gelu", "gelu", "gelu_pytorch_tanh")
for old in VARIANTS:
    for new in VARIANTS:
        if old != new:
            replace_activation("tower", lambda model: model.config.vision_config.hidden_act, old, new)
            replace_activation("projector", lambda model: model.config.projector_hidden_act, old, new)


@mutation("tower: scale of the whole width")
def _(model, stack):
    if model.config.vision_config.num_attention_heads == 1:
        return False
    for block in tower_blocks(model):
        block.self_attn.scale = model.config.vision_config.hidden_size**-0.5


@mutation("tower: no scale")
def _(model, stack):
    for block in tower_blocks(model):
        block.self_attn.scale = 1.0


@mutation("tower: causal mask")
def _(model, stack):
    for block in tower_blocks(model):
        right = block.self_attn.forward

        def forward(hidden_states, attention_mask=None, right=right, **kwargs):
            n = hidden_states.shape[1]
            mask = torch.full((n, n), float("-inf")).triu(1)[None, None]
            return right(hidden_states, attention_mask=mask, **kwargs)

        replace_forward(stack, block.self_attn, forward)


def each_layer_norm(model):
    yield model.model.vision_tower.pre_layrnorm
    for block in tower_blocks(model):
        yield from (block.layer_norm1, block.layer_norm2)


@mutation("tower: layer norm eps of 1e-5")
def _(model, stack):
    for norm in each_layer_norm(model):
        norm.eps = 1e-5


@mutation("tower: layer norm with the mean kept")
def _(model, stack):
    for norm in each_layer_norm(model):
        forward = lambda x, n=norm: n.weight * x / (x.pow(2).mean(-1, keepdim=True) + n.eps).sqrt() + n.bias
        replace_forward(stack, norm, forward)


@mutation("tower: pre_layrnorm left out")
def _(model, stack):
    replace_forward(stack, model.model.vision_tower.pre_layrnorm, lambda x: x)


@mutation("tower: class embedding left out")
def _(model, stack):
    model.model.vision_tower.embeddings.class_embedding.data.zero_()


@mutation("tower: positions shifted by one")
def _(model, stack):
    weight = model.model.vision_tower.embeddings.position_embedding.weight
    weight.data = weight.data.roll(-1, 0)


@mutation("tower: blue, green, red")
def _(model, stack):
    weight = model.model.vision_tower.embeddings.patch_embedding.weight
    weight.data = weight.data.flip(1)


@mutation("tower: patch read by columns")
def _(model, stack):
    weight = model.model.vision_tower.embeddings.patch_embedding.weight
    weight.data = weight.data.transpose(2, 3).contiguous()


@mutation("tower: patches numbered by columns")
def _(model, stack):
    conv = model.model.vision_tower.embeddings.patch_embedding
    right = conv.forward
    replace_forward(stack, conv, lambda x: right(x).transpose(2, 3))


drop_biases("tower norms", lambda model: list(each_layer_norm(model)))
for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
    drop_biases(f"tower {part}", lambda model, part=part: [getattr(b.self_attn, part) for b in tower_blocks(model)])
for part in ("fc1", "fc2"):
    drop_biases(f"tower {part}", lambda model, part=part: [getattr(b.mlp, part) for b in tower_blocks(model)])


# ---- features, projector, merge


def shift(index: int, by: int, n_states: int) -> int:
    """A neighbouring hidden state, in the other direction at the end."""
    index = index % n_states
    return index + by if 0 <= index + by < n_states else index - by


for by, word in ((1, "late"), (-1, "early")):

    @mutation(f"features: one layer too {word}")
    def _(model, stack, by=by):
        n_states = len(tower_blocks(model)) + 1
        layer = model.config.vision_feature_layer
        model.config.vision_feature_layer = (
            shift(layer, by, n_states) if isinstance(layer, int) else [shift(i, by, n_states) for i in layer]
        )


@mutation("features: layers of the list swapped")
def _(model, stack):
    layer = model.config.vision_feature_layer
    if isinstance(layer, int):
        return False
    model.config.vision_feature_layer = layer[::-1]


@mutation("features: the last patch dropped instead of the class token")
def _(model, stack):
    if model.config.vision_feature_select_strategy == "full":
        return False
    projector = model.model.multi_modal_projector
    tower, right, at = model.model.vision_tower, projector.forward, {}

    def keep(module, args, out):
        at["features"] = out.hidden_states[model.config.vision_feature_layer][:, :-1]

    stack.callback(tower.register_forward_hook(keep).remove)
    stack.callback(projector.register_forward_pre_hook(lambda m, a: (at["features"],), prepend=True).remove)


@mutation("features: post_layernorm applied")
def _(model, stack):
    projector, norm = model.model.multi_modal_projector, model.model.vision_tower.post_layernorm
    width = norm.normalized_shape[0]
    change = lambda m, a: (torch.cat([norm(x) for x in a[0].split(width, -1)], -1),)
    stack.callback(projector.register_forward_pre_hook(change).remove)


drop_biases("projector linear_1", lambda model: [model.model.multi_modal_projector.linear_1])
drop_biases("projector linear_2", lambda model: [model.model.multi_modal_projector.linear_2])


def change_features(stack, model, change):
    handle = model.model.language_model.register_forward_pre_hook(
        lambda m, args, kwargs: (args, kwargs | {"inputs_embeds": change(kwargs["inputs_embeds"])}), with_kwargs=True
    )
    stack.callback(handle.remove)


@mutation("merge: features one position late")
def _(model, stack):
    mask = model.model.get_placeholder_mask
    late = lambda *a, **k: mask(*a, **k).roll(1, 1)
    stack.enter_context(patch.object(model.model, "get_placeholder_mask", late))


@mutation("merge: the two images exchanged")
def _(model, stack):
    features = model.model.get_image_features

    def exchanged(*args, **kwargs):
        out = features(*args, **kwargs)
        out.pooler_output = out.pooler_output[::-1]
        return out

    stack.enter_context(patch.object(model.model, "get_image_features", exchanged))


@mutation("merge: embedding of <image> added")
def _(model, stack):
    row = model.model.language_model.embed_tokens.weight[model.config.image_token_index].detach()
    projector = model.model.multi_modal_projector
    stack.callback(projector.register_forward_hook(lambda m, a, out: out + 10 * row).remove)


# ---- measuring


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """max |a - b| / max |b| over what is finite in b."""
    finite = b.isfinite()
    return float((a - b)[finite].abs().max() / b[finite].abs().max())


def measure(folder: Path, prepared: dict, base: dict, mutate) -> dict[str, float] | None:
    """The relative change of each hook, the largest over the inputs."""
    changes: dict[str, float] = {}
    with ExitStack() as stack:
        model = oracle.load(folder)
        if mutate(model, stack) is False:
            return None
        for name, inputs in prepared.items():
            for hook, value in oracle.capture(model, inputs).items():
                if hook in ("input_ids", "pixel_values"):
                    continue
                if name != "scene" and not hook.endswith(oracle.BRIEF):
                    continue  # not stored for this input
                changes[hook] = max(changes.get(hook, 0.0), distance(value, base[name][hook]))
    return changes


def main() -> int:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    root = make.FIXTURES / "checkpoints"
    prepared, base = {}, {}
    for fixture in TOLERANCE:
        entries = {n: json.loads(json.dumps(make.INPUTS[n])) for n in INPUTS}
        prepared[fixture] = {n: oracle.prepare(root / fixture, make.FIXTURES / "images", e) for n, e in entries.items()}
        model = oracle.load(root / fixture)
        base[fixture] = {n: oracle.capture(model, inputs) for n, inputs in prepared[fixture].items()}

    print("# What a broken model would show\n")
    print(
        "Written by `mutate.py`. One thing is broken at a time in transformers' model; the figures are max |a - b| / max |b|"
    )
    print("against the unbroken one. `hook_z`: the worst layer; `features`: `projector.hook_in`; `most`: the hook that moves")
    print("most, and its change in units of the tolerance (1e-4 for f32 checkpoints, 2e-3 for f16 and bf16). inf: a mask hides")
    print("other places.\n")
    print("| broken | checkpoint | hook_z | features | logits | most | x tolerance |")
    print("|---|---|---|---|---|---|---|")
    weak = []
    for what, mutate in MUTATIONS.items():
        for fixture, tolerance in TOLERANCE.items():
            changes = measure(root / fixture, prepared[fixture], base[fixture], mutate)
            if changes is None:
                continue
            z = max(v for k, v in changes.items() if k.endswith("hook_z") and not k.startswith("vision."))
            most = max(changes, key=changes.get)
            times = changes[most] / tolerance
            figures = " | ".join(f"{x:.1e}" for x in (z, changes["projector.hook_in"], changes["logits"]))
            print(f"| {what} | {fixture} | {figures} | {most} | {times:.0f} |")
            if times < NEEDED:
                weak.append(f"{what} in {fixture}: {times:.1f}")
    print(f"\n{len(MUTATIONS)} mutations; below {NEEDED} times the tolerance: {len(weak)}.")
    for line in weak:
        print(f"- {line}")
    print()
    return mutate_families.report([]) or bool(weak)


if __name__ == "__main__":
    sys.exit(main())
