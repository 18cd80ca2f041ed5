"""What a family of checkpoints is to the oracle, and what a checkpoint's specification says."""

import json
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import AutoConfig, AutoProcessor, AutoTokenizer
from transformers.image_utils import load_image

from families import weights
from hooks import Recorder

MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]


@dataclass
class Spec:
    """One checkpoint. `whole` names the input of which every activation is stored; None: of none."""

    name: str
    seed: int  # chosen by `make_families.py --search` for its arg-max margins
    text: dict
    vision: dict = field(default_factory=dict)
    top: dict = field(default_factory=dict)  # the settings beside text_config and vision_config
    inputs: tuple[str, ...] = ("scene", "text")
    whole: str | None = None
    dtype: torch.dtype = torch.float32
    layout: str = "hub"  # of tensor names and settings: hub, or new (transformers 4.52 and later)
    shards: int = 1
    eos: int | list[int] | None = None  # None: the tokenizer's end of a turn
    peak: float = 1.6  # gain of the query and key matrices
    projector: tuple[float, float, float] | None = (-2.3, 0.3, 2.5)  # see weights.value_of
    tower_mlp: tuple[float, float, float] | None = None
    pixels: dict = field(default_factory=dict)  # changes to preprocessor_config.json

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


class Family:
    """A model class of transformers with its settings, names, inputs and hooks."""

    model_class: type
    generates = True  # has a decoder that goes on with a prompt

    def write_settings(self, folder: Path, spec: Spec) -> int:
        """Every file but the weights. Returns the first of the token ids that must never win the arg-max."""
        raise NotImplementedError

    def stored_name(self, name: str, layout: str) -> str:
        """From the module tree of transformers 5 to the name in the file."""
        return name

    def prepare(self, folder: Path, images: Path, entry: dict) -> dict:
        """The model's inputs; adds `prompt` and `visuals` to the entry."""
        raise NotImplementedError

    def stored_inputs(self, model, inputs: dict) -> dict[str, torch.Tensor]:
        """Of the model's inputs those that a fixture holds, in its shapes."""
        raise NotImplementedError

    def watch(self, recorder: Recorder, model) -> None:
        raise NotImplementedError

    # ---- the same for all

    def write(self, folder: Path, spec: Spec) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        first_quiet = self.write_settings(folder, spec)
        model = self.model_class(AutoConfig.from_pretrained(folder)).to(torch.float32)
        weights.init_weights(model, spec, first_quiet)
        weights.write_weights(folder, model, spec, lambda name: self.stored_name(name, spec.layout))

    def load(self, folder: Path):
        """The checkpoint in float32 with eager attention; every tensor of the files must have found its place."""
        model, info = self.model_class.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
        wrong = {k: v for k, v in info.items() if v}
        if wrong:
            raise ValueError(f"{folder.name}: {wrong}")
        return model.eval()

    @contextmanager
    def recorded(self, model):
        with ExitStack() as stack:
            recorder = Recorder(stack)
            self.watch(recorder, model)
            yield recorder

    @torch.no_grad()
    def capture(self, model, inputs: dict) -> dict[str, torch.Tensor]:
        """One forward; the text side without its batch dimension, towers as [crop, ...] or [patch, ...]."""
        with self.recorded(model) as recorder:
            model(**inputs, use_cache=False)
        batched = ("vision.", "projector.", "text.")
        found = {n: v if n.startswith(batched) else v[0] for n, v in recorder.result().items()}
        found["hook_merged_embed"] = found["blocks.0.hook_resid_pre"]
        found["last_logits"] = found["logits"][-1]
        return found | self.stored_inputs(model, inputs)


# ---- prompts


def pictures(images: Path, files: list[str]) -> list:
    return [load_image(str(images / file)) for file in files]


def render(processor, entry: dict) -> None:
    """Sets entry['prompt'] from its messages, where it has them."""
    if "messages" in entry:
        entry["prompt"] = processor.apply_chat_template(entry["messages"], add_generation_prompt=True, tokenize=False)


class TextOnly(Family):
    """LlamaForCausalLM and its like: a decoder and a tokenizer."""

    def __init__(self, model_class: type, architecture: str, model_type: str, write_tokenizer):
        self.model_class = model_class
        self.architecture, self.model_type, self.write_tokenizer = architecture, model_type, write_tokenizer

    def write_settings(self, folder, spec):
        ids = self.write_tokenizer(folder)
        eos = spec.eos if spec.eos is not None else ids["eos"]
        tokens = {"bos_token_id": ids["bos"], "eos_token_id": eos, "pad_token_id": ids["pad"]}
        settings = {"architectures": [self.architecture], "model_type": self.model_type, "max_position_embeddings": 512}
        write_json(folder / "config.json", settings | tokens | spec.text | {"torch_dtype": spec.dtype_name})
        write_json(folder / "generation_config.json", tokens)
        return ids["quiet"]

    def prepare(self, folder, images, entry):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        render(tokenizer, entry)
        return dict(tokenizer(entry["prompt"], return_tensors="pt"))

    def stored_inputs(self, model, inputs):
        return {"input_ids": inputs["input_ids"][0].to(torch.int32)}

    def watch(self, recorder, model):
        recorder.decoder(model.model, model.lm_head, model.config)


class ImageProcessed(Family):
    """A family whose processor transformers can make without torchvision."""

    def prepare(self, folder, images, entry):
        processor = AutoProcessor.from_pretrained(folder)
        render(processor, entry)
        entry["visuals"] = [f"image:{i}" for i in range(len(entry["images"]))]
        files = pictures(images, entry["images"]) or None
        return dict(processor(text=entry["prompt"], images=files, return_tensors="pt"))
