"""The tokenizers of the families, each a real one in small. Every writer returns the ids of its special entries:
`bos`, `eos`, `pad`, the placeholders by name, and `quiet`, from which on no id may win the arg-max."""

import json
from pathlib import Path

import tokenizer as llama_tokenizer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

CHAT = {
    "llama": (
        "{{ bos_token }}{% for message in messages %}{{ '[' + message['role'] | upper + '] ' }}"
        "{% for part in message['content'] %}{{ part['text'] + ' ' }}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '[ASSISTANT]' }}{% endif %}"
    ),
}
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def dump(path: Path, value) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def llama(folder: Path, processor_class: str | None = None) -> dict[str, int]:
    """Llama's and Mistral's: byte-fallback BPE with a space before every segment, and BOS."""
    ids = llama_tokenizer.write(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("processor_class")
    if processor_class:
        config["processor_class"] = processor_class
    else:
        # BOS comes from the template, not from the tokenizer: as a template of text-only checkpoints has it
        config["chat_template"] = CHAT["llama"].replace("{{ bos_token }}", "")
    dump(path, config)
    return ids | {"bos": ids["<s>"], "eos": ids["</s>"], "pad": ids["<pad>"], "quiet": ids["<image>"]}


def byte_level(n_merged: int) -> tuple[dict[str, int], list]:
    """Vocabulary and merges of a byte-level BPE with Qwen2's way of splitting."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = qwen_split()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + n_merged, special_tokens=[], show_progress=False, initial_alphabet=sorted(alphabet)
    )
    corpus = llama_tokenizer.CORPUS.strip().replace("USER:", "user\n").replace("ASSISTANT:", "assistant\n")
    bpe.train_from_iterator([corpus] * 2, trainer)
    trained = json.loads(bpe.to_str())["model"]
    return trained["vocab"], trained["merges"]


def qwen_split():
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def qwen(folder: Path, placeholders: list[str], settings: dict, n_merged: int = 150) -> dict[str, int]:
    """Qwen2's: byte-level BPE, NFC, no BOS; special entries after the trained ones, `placeholders` last."""
    vocab, merges = byte_level(n_merged)
    special = QWEN_SPECIAL + placeholders
    ids = {t: len(vocab) + i for i, t in enumerate(special)}
    built = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(m) for m in merges], fuse_unk=False, byte_fallback=False))
    built.normalizer = normalizers.NFC()
    built.pre_tokenizer = qwen_split()
    built.decoder = decoders.ByteLevel()
    written = json.loads(built.to_str())
    written["added_tokens"] = [llama_tokenizer.token(i, t) for t, i in ids.items()]
    dump(folder / "tokenizer.json", written)
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(t.pop("id")): t for t in [llama_tokenizer.token(i, t) for t, i in ids.items()]},
        "additional_special_tokens": special[1:],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 32768,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
        **settings,
    }
    dump(folder / "tokenizer_config.json", config)
    quiet = ids[placeholders[0]] if placeholders else len(vocab) + len(special)
    return ids | {"bos": ids["<|endoftext|>"], "eos": ids["<|im_end|>"], "pad": ids["<|endoftext|>"], "quiet": quiet}


def clip(folder: Path, longest: int, n_merged: int = 100) -> dict[str, int]:
    """CLIP's: lower-cased byte-level BPE whose entries end in </w> at the end of a word; start and end tokens."""
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    words = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.normalizer, trained.pre_tokenizer = normalizer, split
    trainer = trainers.BpeTrainer(vocab_size=2 * n_merged, show_progress=False, end_of_word_suffix="</w>")
    trained.train_from_iterator([llama_tokenizer.CORPUS] * 2, trainer)
    merges = json.loads(trained.to_str())["model"]["merges"][:n_merged]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = alphabet + [c + "</w>" for c in alphabet] + ["".join(pair) for pair in merges]
    vocab = {entry: i for i, entry in enumerate(entries + ["<|startoftext|>", "<|endoftext|>"])}
    bos, eos = vocab["<|startoftext|>"], vocab["<|endoftext|>"]
    built = Tokenizer(
        models.BPE(
            vocab=vocab,
            merges=[tuple(pair) for pair in merges],
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token="<|endoftext|>",
        )
    )
    built.normalizer, built.pre_tokenizer, built.decoder = normalizer, split, decoders.ByteLevel()
    built.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", eos), ("<|startoftext|>", bos), trim_offsets=False, add_prefix_space=False
    )
    written = json.loads(built.to_str())
    written["added_tokens"] = [llama_tokenizer.token(bos, "<|startoftext|>"), llama_tokenizer.token(eos, "<|endoftext|>")]
    dump(folder / "tokenizer.json", written)
    config = {
        "add_prefix_space": False,
        "bos_token": "<|startoftext|>",
        "do_lower_case": True,
        "eos_token": "<|endoftext|>",
        "errors": "replace",
        "model_max_length": longest,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": "<|endoftext|>",
    }
    dump(folder / "tokenizer_config.json", config)
    return {"bos": bos, "eos": eos, "pad": eos, "quiet": len(vocab)}


PUNCTUATION = r"""[!"\#\$%\&'\(\)\*\+,\-\.:;=\?@\[\\\]\^_`\{\|\}\~]"""


def siglip(folder: Path, longest: int) -> dict[str, int]:
    """SigLIP's: lower-cased, punctuation dropped, a Unigram model, an end token that also pads."""
    normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(PUNCTUATION), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(left=True, right=True),
        ]
    )
    split = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    trained = Tokenizer(models.Unigram())
    trained.normalizer, trained.pre_tokenizer = normalizer, split
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    trained.train_from_iterator(llama_tokenizer.CORPUS.strip().splitlines() * 2, trainer)
    vocab = [(piece, round(score, 4)) for piece, score in json.loads(trained.to_str())["model"]["vocab"]]
    built = Tokenizer(models.Unigram(vocab, unk_id=2))
    built.normalizer, built.pre_tokenizer, built.decoder = normalizer, split, decoders.Metaspace()
    built.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    written = json.loads(built.to_str())
    written["added_tokens"] = [llama_tokenizer.token(i, t) for i, t in enumerate(special)]
    dump(folder / "tokenizer.json", written)
    config = {
        "added_tokens_decoder": {str(t.pop("id")): t for t in written["added_tokens"]},
        "do_lower_case": True,
        "eos_token": "</s>",
        "model_input_names": ["input_ids"],
        "model_max_length": longest,
        "pad_token": "</s>",
        "processor_class": "SiglipProcessor",
        "tokenizer_class": "SiglipTokenizer",
        "unk_token": "<unk>",
    }
    dump(folder / "tokenizer_config.json", config)
    return {"bos": 0, "eos": 1, "pad": 1, "quiet": len(vocab)}


def longest(folder: Path) -> int:
    return json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"]
