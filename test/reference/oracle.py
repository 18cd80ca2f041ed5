"""Runs transformers' LLaVA in float32 and reads every activation under its hook name (DESIGN of the hooks: README.md)."""

import json
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from transformers import AutoProcessor, LlavaForConditionalGeneration
from transformers.image_utils import load_image

from hooks import Recorder

torch.set_num_threads(1)


def load(folder: Path) -> LlavaForConditionalGeneration:
    """The checkpoint in float32 with eager attention; every tensor of the files must have found its place."""
    model, info = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    wrong = {k: v for k, v in info.items() if v}
    if wrong:
        raise ValueError(f"{folder.name}: {wrong}")
    return model.eval()


def prepare(folder: Path, images: Path, entry: dict) -> dict:
    """From messages or a raw prompt and image files to the model's inputs; sets entry['prompt']."""
    processor = AutoProcessor.from_pretrained(folder)
    if "messages" in entry:
        entry["prompt"] = processor.apply_chat_template(entry["messages"], add_generation_prompt=True)
    pictures = [load_image(str(images / file)) for file in entry["images"]]
    return dict(processor(text=entry["prompt"], images=pictures or None, return_tensors="pt"))


@contextmanager
def recorded(model: LlavaForConditionalGeneration):
    """Yields a Recorder: its result() is {hook name: tensor} (with the batch dimension) after the model ran."""
    with ExitStack() as stack:
        recorder = Recorder(stack)
        recorder.picture_tower(model.model.vision_tower, model.config.vision_config)
        recorder.projector(model.model.multi_modal_projector)
        recorder.decoder(model.model.language_model, model.lm_head, model.config.text_config)
        yield recorder


@torch.no_grad()
def capture(model: LlavaForConditionalGeneration, inputs: dict) -> dict[str, torch.Tensor]:
    """One forward; the text side without its batch dimension, the vision side as [image, ...]."""
    with recorded(model) as recorder:
        model(**inputs, use_cache=False)
    batched = ("vision.", "projector.")
    found = {name: value if name.startswith(batched) else value[0] for name, value in recorder.result().items()}
    found["hook_merged_embed"] = found["blocks.0.hook_resid_pre"]
    found["input_ids"] = inputs["input_ids"][0].to(torch.int32)
    if "pixel_values" in inputs:
        found["pixel_values"] = inputs["pixel_values"]
    return found


@torch.no_grad()
def greedy(model: LlavaForConditionalGeneration, inputs: dict, max_new_tokens: int) -> tuple[list[int], float]:
    """The greedy continuation (ends with an end token if one comes) and the smallest arg-max margin, relative to max |logit|."""
    out = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        return_dict_in_generate=True,
        output_logits=True,
    )
    margins = []
    for logits in out.logits:
        best, second = logits[0].topk(2).values
        margins.append(float((best - second) / logits[0].abs().max()))
    return out.sequences[0, inputs["input_ids"].shape[1] :].tolist(), min(margins)


BRIEF = ("hook_z", "projector.hook_in", "projector.hook_out", "logits", "input_ids", "pixel_values")


def expected(folder: Path, images: Path, entries: dict[str, dict], whole: str, max_new_tokens: int = 16):
    """Tensors and JSON of one checkpoint: everything for the input `whole`, the essentials for the others."""
    model = load(folder)
    processor = AutoProcessor.from_pretrained(folder)
    tensors, report = {}, {}
    for name, entry in entries.items():
        entry = json.loads(json.dumps(entry))
        inputs = prepare(folder, images, entry)
        for key, value in capture(model, inputs).items():
            if name == whole or (key.endswith(BRIEF) and not key.startswith("vision.")):
                tensors[f"{name}/{key}"] = value.contiguous().clone()
        generated, margin = greedy(model, inputs, max_new_tokens)
        report[name] = entry | {
            "n_tokens": inputs["input_ids"].shape[1],
            "generated_ids": generated,
            "generated_text": processor.decode(generated, skip_special_tokens=True),
            "min_margin": margin,
        }
    return tensors, {"whole": whole, "max_new_tokens": max_new_tokens, "inputs": report}
