"""Pictures and videos of a prompt, as a processor without its video part (that needs torchvision) takes them."""

import re
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer
from transformers.image_utils import load_image

from families.base import pictures


def read_videos(images: Path, entry: dict) -> list[list]:
    """Each video as its frames, all of one size."""
    return [[load_image(str(images / file)) for file in video["frames"]] for video in entry.get("videos", [])]


def visuals(prompt: str, image_token: str, video_token: str) -> list[str]:
    """Of each placeholder in the order of the prompt: image:n or video:n."""
    counts = {"image": 0, "video": 0}
    found = []
    for match in re.finditer(f"{re.escape(image_token)}|{re.escape(video_token)}", prompt):
        kind = "image" if match.group() == image_token else "video"
        found.append(f"{kind}:{counts[kind]}")
        counts[kind] += 1
    return found


def prepare(folder: Path, images: Path, entry: dict, processor_class: type, settings: dict, image_processor, videos) -> dict:
    """From messages or a raw prompt to the model's inputs, through the processor's own expansion of the placeholders.

    `videos`: from a list of lists of frames to the inputs that the family's video processor would give.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # the image processor in the place of the video processor, which only lends its merge_size here
    unchecked = type("Unchecked", (processor_class,), {"check_argument_for_proper_class": lambda self, name, arg: None})
    processor = unchecked(image_processor, tokenizer, image_processor, **settings)
    if "messages" in entry:
        entry["prompt"] = tokenizer.apply_chat_template(
            entry["messages"],
            chat_template=(folder / "chat_template.jinja").read_text(),
            add_generation_prompt=True,
            tokenize=False,
        )
    entry["visuals"] = visuals(entry["prompt"], processor.image_token, processor.video_token)
    inputs = {}
    # nested, as from a chat template: all pictures of one prompt belong together
    loaded = pictures(images, entry["images"])
    if loaded:
        inputs |= dict(image_processor([loaded], return_tensors="pt"))
    read = read_videos(images, entry)
    if read:
        inputs |= videos(read)
    image_texts = [processor.replace_image_token(inputs, i) for i in range(len(loaded))]
    video_texts = [processor.replace_video_token(inputs, i) for i in range(len(read))]
    texts, _ = processor.get_text_with_replacements([entry["prompt"]], image_texts, video_texts, [])
    inputs |= dict(tokenizer(texts, return_tensors="pt"))
    if "image_grid_thw" in inputs or "video_grid_thw" in inputs:  # Qwen tells placeholders by type
        inputs["mm_token_type_ids"] = torch.tensor(processor.create_mm_token_type_ids(inputs["input_ids"].tolist()))
    return inputs


def frames_of(image_processor, frames: list) -> np.ndarray:
    """[frame, 3, height, width]: every frame through an image processor that makes one crop."""
    return np.stack([image_processor(frame)["pixel_values"][0] for frame in frames])
