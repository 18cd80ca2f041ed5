"""A small real tokenizer in the form of Llama's: byte-fallback BPE with a space prepended to every text segment."""

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

SPECIAL = ["<unk>", "<s>", "</s>"]
ADDED = ["<image>", "<pad>"]  # come after the trained entries, as in the hub's LLaVA-1.5 (32000, 32001)

CORPUS = """
USER: What is in this image? ASSISTANT: There is a red circle on the left of the blue square.
USER: Describe the scene in one sentence. ASSISTANT: The picture shows a green triangle above two yellow circles.
USER: How many shapes are there? ASSISTANT: There are three shapes: a circle, a square and a triangle.
USER: Which class does the image belong to? Answer the question with the class name. ASSISTANT: stripes
USER: Are these two images of the same class? ASSISTANT: Yes, they are. USER: Why? ASSISTANT: Both are round.
Compare the first image with the second image. What colour is the background of the larger one?
Is the answer to the question yes or no? Answer with Yes or No. A photograph of the shore, the sky and some stones.
"""


def train(n_merged: int) -> tuple[dict[str, int], list[list[str]]]:
    """Vocabulary and merges: the three special entries, 256 bytes, then what was trained."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(vocab_size=n_merged, special_tokens=[], show_progress=False)
    bpe.train_from_iterator(CORPUS.strip().splitlines() * 2, trainer)
    trained = json.loads(bpe.to_str())["model"]
    ordered = sorted(trained["vocab"], key=trained["vocab"].get)
    # Llama's order: merged entries first, single characters last
    ordered = [t for t in ordered if len(t) > 1] + [t for t in ordered if len(t) == 1]
    entries = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)] + ordered
    return {entry: i for i, entry in enumerate(entries)}, trained["merges"]


def token(i: int, content: str) -> dict:
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    return {"id": i, "content": content, **flags}


def write(folder: Path, n_merged: int = 160) -> dict[str, int]:
    """Writes tokenizer.json and tokenizer_config.json; returns the ids of the special entries."""
    vocab, merges = train(n_merged)
    ids = {t: vocab[t] for t in SPECIAL} | {t: len(vocab) + i for i, t in enumerate(ADDED)}
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [token(i, t) for t, i in sorted(ids.items(), key=lambda item: item[1])],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, first],
            "pair": [bos, first, bos | {"SpecialToken": {"id": "<s>", "type_id": 1}}, second],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [ids["<s>"]], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": {str(t.pop("id")): t for t in [token(i, t) for t, i in ids.items()]},
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "image_token": "<image>",
        "extra_special_tokens": {"image_token": "<image>"},
        "legacy": False,
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": "<pad>",
        "padding_side": "left",
        "processor_class": "LlavaProcessor",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
        "use_default_system_prompt": False,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return ids
