"""Towers of blocks like CLIP's and SigLIP's, and the activations of all towers."""

from transformers.activations import ACT2FN

from families.mutations.registry import CONTRASTIVE, LLAVA, QWEN, is_windowed, kind, mutation


def tower(model):
    if kind(model) == CONTRASTIVE:
        return model.vision_model
    return getattr(model.model, "vision_tower", None)


def encoder_blocks(model) -> list:
    """Of the towers that are CLIP's or SigLIP's."""
    if kind(model) == CONTRASTIVE:
        return [*model.vision_model.encoder.layers, *model.text_model.encoder.layers]
    return list(model.model.vision_tower.encoder.layers) if kind(model) == LLAVA else []


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
    return (
        [(model.model.multi_modal_projector, "act")]
        if kind(model) == LLAVA and model.config.projector_hidden_act == old
        else []
    )


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
