"""Writes test/fixtures/processor-families: what transformers' processors make of pictures, videos and prompts, for every
family. By hand, and with torchvision (HF's video processors need it): python test/reference/processor_families.py

The pictures are a formula (`picture`, the same in test/model/processor/families.test.ts). Image processors are the `Pil` ones,
as everywhere in this folder. Videos are processed twice: by HF as it is, which resizes tensors, and with the resize step
replaced by Pillow's."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_transforms import resize as pil_resize
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.llava_onevision.video_processing_llava_onevision import LlavaOnevisionVideoProcessor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.video_utils import VideoMetadata

import tokenizer as llama_tokenizer
from tokenizer import CORPUS

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
FOLDER = FIXTURES / "processor-families"


def picture(width: int, height: int, n: int = 0) -> np.ndarray:
    """[height, width, 3]: something with edges and slopes, different in every channel."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((x * x * 3 + y * y * 5 + x * y * 7 + c * 41 + n * 67) // 4 % 256).astype(np.uint8)


# width, height
SIZES = {
    "exact": (56, 28),
    "square": (28, 28),
    "wide": (61, 23),
    "tall": (23, 61),
    "tiny": (3, 2),
    "large": (150, 110),
    "very-wide": (140, 12),
    "half-even": (20, 12),  # Python rounds 2.5 and 1.5 both to 2
    "odd": (37, 53),
}


def text(words: str) -> dict:
    return {"type": "text", "text": words}


# parts of one user message; images and videos are taken from the lists in turn
PROMPTS = {
    "image-first": [{"type": "image"}, text("What is in this image?")],
    "image-last": [text("What is in this image?"), {"type": "image"}],
    "two-images": [{"type": "image"}, text("Compare it with"), {"type": "image"}, text("Same?")],
    "text-only": [text("Is a circle round?")],
    "video": [{"type": "video"}, text("How many shapes?")],
    "mixed": [text("A"), {"type": "video"}, text("B"), {"type": "image"}, text("C")],
}
PROMPT_IMAGES = ["wide", "odd"]
PROMPT_VIDEO = ("wide", 3)

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ '\n' + part['text'] }}{% endgeneration %}"
    "{% else %}{{ '\n' + part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN_CHAT = (
    "{% set images = namespace(value=0) %}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' or 'image_url' in part %}"
    "{% set images.value = images.value + 1 %}{% if add_vision_id %}Picture {{ images.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_CHAT = (
    "{% for message in messages %}{{ message['role'] | upper }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] + ' ' }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

QWEN_TOKENS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
    "<image>", "<video>",
]  # fmt: skip
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write_qwen_tokenizer(folder: Path) -> dict[str, int]:
    """Byte-level BPE in the form of Qwen2's tokenizer.json."""
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_PATTERN), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=[]
    )
    tok.train_from_iterator(CORPUS.strip().splitlines() * 2, trainer)
    tok.add_special_tokens(QWEN_TOKENS)
    tok.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 32768,
    }
    write_json(folder / "tokenizer_config.json", config)
    return {t: tok.token_to_id(t) for t in QWEN_TOKENS}


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def settings_of(processor) -> dict:
    return {k: v for k, v in json.loads(processor.to_json_string()).items() if v is not None}


def raw_and_whole(processor, images, **kwargs):
    """8-bit pixels before rescaling, and the end result."""
    raw = processor(images, do_rescale=False, do_normalize=False, **kwargs)
    return raw, processor(images, **kwargs)


def tiled(processor, tensors: dict) -> None:
    for name, (width, height) in SIZES.items():
        image = Image.fromarray(picture(width, height))
        raw, whole = raw_and_whole(processor, [image])
        assert [tuple(s) for s in whole["image_sizes"]] == [(height, width)]
        tensors[f"image/{name}/raw"] = np.ascontiguousarray(raw["pixel_values"][0].astype(np.uint8))
        if name == "tall":
            tensors[f"image/{name}/pixels"] = np.ascontiguousarray(whole["pixel_values"][0].astype(np.float32))


def next_family(folder: Path, tensors: dict, report: dict) -> None:
    pinpoints = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]
    image_processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints
    )
    ids = llama_tokenizer.write(folder)
    write_json(folder / "preprocessor_config.json", settings_of(image_processor))
    write_json(
        folder / "processor_config.json",
        {"processor_class": "LlavaNextProcessor", "patch_size": 7, "num_additional_image_tokens": 1,
         "vision_feature_select_strategy": "default", "image_token": "<image>"},
    )  # fmt: skip
    write_json(folder / "chat_template.json", {"chat_template": LLAMA_CHAT})
    vision = {"model_type": "clip_vision_model", "image_size": 28, "patch_size": 7}
    write_json(
        folder / "config.json",
        {"model_type": "llava_next", "image_token_index": ids["<image>"], "image_grid_pinpoints": pinpoints,
         "vision_config": vision, "vision_feature_select_strategy": "default"},
    )  # fmt: skip
    tiled(image_processor, tensors)
    processor = LlavaNextProcessor(
        image_processor, AutoTokenizer.from_pretrained(folder), patch_size=7, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=LLAMA_CHAT,
    )  # fmt: skip
    prompts(processor, report, videos=False)
    counts(processor, report, "<image>", ids["<image>"])


def onevision_family(folder: Path, tensors: dict, report: dict) -> None:
    pinpoints = [[28 * i, 28 * j] for i in range(1, 4) for j in range(1, 4)]
    shared = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.25, 0.5], "size": {"height": 28, "width": 28}}
    image_processor = LlavaOnevisionImageProcessorPil(image_grid_pinpoints=pinpoints, **shared)
    video_processor = LlavaOnevisionVideoProcessor(**shared)
    ids = write_qwen_tokenizer(folder)
    write_json(folder / "preprocessor_config.json", settings_of(image_processor))
    write_json(folder / "video_preprocessor_config.json", settings_of(video_processor))
    write_json(
        folder / "processor_config.json",
        {"processor_class": "LlavaOnevisionProcessor", "num_image_tokens": 49, "vision_feature_select_strategy": "full",
         "image_token": "<image>", "video_token": "<video>", "vision_aspect_ratio": "anyres_max_2"},
    )  # fmt: skip
    (folder / "chat_template.jinja").write_text(CHATML)
    write_json(
        folder / "config.json",
        {"model_type": "llava_onevision", "image_token_index": ids["<image>"], "video_token_index": ids["<video>"],
         "image_grid_pinpoints": pinpoints, "vision_aspect_ratio": "anyres_max_2", "vision_feature_select_strategy": "full",
         "vision_config": {"model_type": "siglip_vision_model", "image_size": 28, "patch_size": 4}},
    )  # fmt: skip
    tiled(image_processor, tensors)
    pair = [Image.fromarray(picture(*SIZES[name])) for name in PROMPT_IMAGES]
    raw, _ = raw_and_whole(image_processor, [pair])
    tensors["pair/raw"] = np.stack([p.astype(np.uint8) for p in raw["pixel_values"]])
    processor = LlavaOnevisionProcessor(
        image_processor, AutoTokenizer.from_pretrained(folder), video_processor, num_image_tokens=49,
        vision_feature_select_strategy="full", chat_template=CHATML, vision_aspect_ratio="anyres_max_2",
    )  # fmt: skip
    prompts(processor, report)
    counts(processor, report, "<image>", ids["<image>"])
    videos(video_processor, tensors, report, "onevision")


def qwen_family(folder: Path, tensors: dict, report: dict) -> None:
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, temporal_patch_size=2, size={"shortest_edge": 256, "longest_edge": 2048}
    )
    video_processor = Qwen2VLVideoProcessor(
        patch_size=4, merge_size=2, temporal_patch_size=2, size={"shortest_edge": 128, "longest_edge": 1024}
    )
    ids = write_qwen_tokenizer(folder)
    write_json(folder / "preprocessor_config.json", settings_of(image_processor))
    write_json(folder / "video_preprocessor_config.json", settings_of(video_processor))
    (folder / "chat_template.jinja").write_text(QWEN_CHAT)
    write_json(
        folder / "config.json",
        {"model_type": "qwen2_vl", "hidden_size": 3584, "num_attention_heads": 28,
         "num_key_value_heads": 4, "image_token_id": ids["<|image_pad|>"], "video_token_id": ids["<|video_pad|>"],
         "vision_config": {"patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}},
    )  # fmt: skip
    for name, (width, height) in SIZES.items():
        raw, whole = raw_and_whole(image_processor, [Image.fromarray(picture(width, height))])
        tensors[f"image/{name}/raw"] = raw["pixel_values"].astype(np.uint8)
        report["grids"][name] = whole["image_grid_thw"][0].tolist()
        if name == "tall":
            tensors[f"image/{name}/pixels"] = whole["pixel_values"].astype(np.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = Qwen2VLProcessor(image_processor, tokenizer, video_processor, chat_template=QWEN_CHAT)
    prompts(processor, report)
    counts(processor, report, "<|image_pad|>", ids["<|image_pad|>"])
    videos(video_processor, tensors, report, "qwen")
    newer = Qwen2_5_VLProcessor(image_processor, tokenizer, video_processor, chat_template=QWEN_CHAT)
    out = newer(
        text=["<|video_pad|>"], videos=[np.stack([picture(32, 16, n) for n in range(4)])], return_metadata=True,
        video_metadata=[VideoMetadata(total_num_frames=40, fps=30.0, frames_indices=[0, 10, 20, 30])],
    )  # fmt: skip
    report["secondsPerPatch"] = {"fps": 3.0, "seconds": [float(s) for s in out["second_per_grid_ts"]]}
    smart_sizes(report)
    samples(video_processor, report)


def smart_sizes(report: dict) -> None:
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(300):
        h, w = (int(v) for v in np.exp(rng.uniform(0, 8, 2)))
        if max(h, w) / min(h, w) <= 200:
            least, most = sorted(int(v) for v in np.exp(rng.uniform(6, 15, 2)))
            rows.append([h, w, least, most, *smart_resize(h, w, 28, least, most)])
    report["smartSizes"] = rows


def samples(video_processor, report: dict) -> None:
    """Which frames HF takes; -1: it refuses. Each frame list is stored as its length, sum and sum of squares."""
    rows = []
    for total in [1, 2, 3, 5, 7, 16, 29, 30, 31, 100, 101, 299, 997, 1800, 5003]:
        for fps in [1, 24, 25, 29.97, 30, 60]:
            for wanted in [0.5, 1, 2, 3.3, 22]:  # 22 of 30: where single precision decides
                info = VideoMetadata(total_num_frames=total, fps=fps)
                try:
                    at = video_processor.sample_frames(info, fps=wanted).tolist()
                except (ValueError, ZeroDivisionError, RuntimeError):
                    at = None
                rows.append([total, fps, wanted] + ([-1] if at is None else [len(at), sum(at), sum(i * i for i in at)]))
    report["samples"] = rows
    uniform = [[total, n, np.linspace(0, total - 1, n, dtype=int).tolist()] for total in (1, 5, 16, 17, 1001) for n in (1, 4, 16)]
    report["uniform"] = uniform


def videos(processor, tensors: dict, report: dict, kind: str) -> None:
    """`resized`: a video whose frames are resized; `fitting`: one whose frames are not."""
    cases = {"resized": (61, 23, 3), "fitting": (28, 28, 2) if kind == "onevision" else (32, 16, 5)}
    report["videos"] = {name: list(case) for name, case in cases.items()}
    for name, (width, height, n) in cases.items():
        frames = np.stack([picture(width, height, i) for i in range(n)])
        whole = processor([frames])
        values = np.asarray(whole["pixel_values_videos"] if kind == "qwen" else whole["pixel_values_videos"][0])
        tensors[f"video/{name}/hf"] = np.ascontiguousarray(values)
        if kind == "qwen":
            report["videoGrids"][name] = np.asarray(whole["video_grid_thw"])[0].tolist()
    def resize(self, image, size, resample=None, **kwargs):  # of the base class: [..., C, H, W] in u8
        flat = image.reshape(-1, *image.shape[-3:]).numpy()
        done = [pil_resize(f, (size.height, size.width), 3, input_data_format="channels_first") for f in flat]
        return torch.from_numpy(np.stack(done)).reshape(*image.shape[:-2], size.height, size.width)

    before = TorchvisionBackend.resize
    TorchvisionBackend.resize = resize
    try:
        width, height, n = cases["resized"]
        frames = np.stack([picture(width, height, i) for i in range(n)])
        out = processor([frames])["pixel_values_videos"]
        tensors["video/resized/pillow"] = np.ascontiguousarray(out if kind == "qwen" else out[0])
    finally:
        TorchvisionBackend.resize = before


def prompts(processor, report: dict, videos: bool = True) -> None:
    images = [Image.fromarray(picture(*SIZES[name])) for name in PROMPT_IMAGES]
    frames = np.stack([picture(*SIZES[PROMPT_VIDEO[0]], i) for i in range(PROMPT_VIDEO[1])])
    for name, content in PROMPTS.items():
        n_images = sum(part["type"] == "image" for part in content)
        n_videos = sum(part["type"] == "video" for part in content)
        if n_videos and not videos:
            continue
        prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        out = processor(
            text=[prompt],
            images=[images[:n_images]] if n_images else None,
            **({"videos": [frames]} if n_videos else {}),
            add_special_tokens=not prompt.startswith("<s>"),
        )
        report["prompts"][name] = {"content": content, "prompt": prompt, "ids": list(map(int, out["input_ids"][0]))}


def counts(processor, report: dict, placeholder: str, token_id: int) -> None:
    """Tokens of images of many sizes."""
    rng = np.random.default_rng(7)
    sizes = [tuple(int(v) for v in np.exp(rng.uniform(0.7, 5.5, 2))) for _ in range(60)] + list(SIZES.values())
    for width, height in sizes:
        if max(width, height) / min(width, height) > 190:
            continue
        ids = processor(text=[placeholder], images=[[Image.fromarray(picture(width, height))]])["input_ids"][0]
        report["counts"].append([width, height, sum(int(i) == token_id for i in ids)])


def siglip(tensors: dict, report: dict) -> None:
    processor = SiglipImageProcessorPil(size={"height": 24, "width": 20})
    report["siglip"] = settings_of(processor)
    for name in ("wide", "tiny", "large"):
        image = Image.fromarray(picture(*SIZES[name]))
        raw, whole = raw_and_whole(processor, [image])
        tensors[f"{name}/raw"] = np.ascontiguousarray(raw["pixel_values"][0].astype(np.uint8))
        tensors[f"{name}/pixels"] = np.ascontiguousarray(whole["pixel_values"][0].astype(np.float32))


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    report = {"sizes": SIZES, "images": PROMPT_IMAGES, "video": PROMPT_VIDEO}
    for name, make in {"llava-next": next_family, "llava-onevision": onevision_family, "qwen2-vl": qwen_family}.items():
        folder = FOLDER / name
        folder.mkdir(parents=True)
        tensors: dict = {}
        found: dict = {"prompts": {}, "counts": [], "grids": {}, "videoGrids": {}}
        make(folder, tensors, found)
        save_file(tensors, folder / "expected.safetensors")
        report[name] = found
    tensors = {}
    siglip(tensors, report)
    save_file(tensors, FOLDER / "siglip.safetensors")
    (FOLDER / "expected.json").write_text(json.dumps(report, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
