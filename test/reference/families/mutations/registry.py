"""What the mutations share. A mutation is f(model, stack), which returns False where a checkpoint has nothing to break;
`stack` undoes what is not the model's own."""

from unittest.mock import patch

LLAVA, QWEN, CONTRASTIVE = "llava", "qwen", "contrastive"
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


def swap_forward(stack, module, forward) -> None:
    stack.enter_context(patch.object(module, "forward", forward))
