"""The whole way of pictures whose features are shrunk at a whole quotient, and of very narrow ones.

    python test/reference/onevision_sizes.py       # seconds; writes test/fixtures/onevision-sizes.json

Runs the checkpoint `families/onevision-f32` with 36 pinpoints and `anyres_max_9`, as the published ones have them, on the
pictures that `sizes.py` calls `picture`.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.llava_onevision.video_processing_llava_onevision import LlavaOnevisionVideoProcessor

from oracle import greedy
from sizes import grid, picture

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
# height, width
SIZES = [(70, 70), (60, 60), (84, 84), (56, 56), (42, 42), (69, 70), (70, 56), (70, 84), (600, 1), (2, 700), (1, 1)]
SETTINGS = {"image_grid_pinpoints": grid(14, 6), "vision_aspect_ratio": "anyres_max_9"}
PROMPT = "<|im_start|>user <image>\nWhat?<|im_end|><|im_start|>assistant\n"


@torch.no_grad()
def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        shutil.copytree(FIXTURES / "families" / "onevision-f32", folder)
        for name in ("config.json", "preprocessor_config.json", "processor_config.json"):
            path = folder / name
            path.write_text(json.dumps(json.loads(path.read_text()) | SETTINGS))
        model = LlavaOnevisionForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        settings = json.loads((folder / "processor_config.json").read_text())
        processor = LlavaOnevisionProcessor(
            LlavaOnevisionImageProcessorPil.from_pretrained(folder),
            AutoTokenizer.from_pretrained(folder),
            LlavaOnevisionVideoProcessor.from_pretrained(folder),
            num_image_tokens=settings["num_image_tokens"],
            vision_feature_select_strategy="full",
            vision_aspect_ratio="anyres_max_9",
        )
        inputs = {}
        for height, width in SIZES:
            image = Image.fromarray(picture(height, width))
            made = dict(processor(text=[PROMPT], images=[image], return_tensors="pt"))
            logits = model(**made).logits[0, -1]
            ids, margin = greedy(model, made, 6)
            assert margin > 1e-3, (height, width, margin)
            inputs[f"{height}x{width}"] = {
                "size": [height, width],
                "ids": made["input_ids"][0].tolist(),
                "logits": [float(f"{v:.6g}") for v in logits.tolist()],
                "greedy": ids,
            }
    report = {"settings": SETTINGS, "prompt": PROMPT, "inputs": inputs}
    (FIXTURES / "onevision-sizes.json").write_text(json.dumps(report, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
