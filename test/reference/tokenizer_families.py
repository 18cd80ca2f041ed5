"""Writes test/fixtures/tokenizers: small tokenizers of the families' kinds, and what transformers makes of awkward texts with
them. By hand, with sentencepiece and protobuf: python test/reference/tokenizer_families.py"""

import io
import json
import re
import string
import tempfile
from pathlib import Path

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, CLIPTokenizer
from transformers.models.siglip.tokenization_siglip import SiglipTokenizer

from tokenizer import CORPUS

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
FOLDER = FIXTURES / "tokenizers"

TEXTS = [
    "Hello World!", "  double  spaces ", "Où est l'été?", "naïve café — “quotes”…", "😀🎉 emoji 👨‍👩‍👧 end",
    "1234567 3.14 x2", "line\nbreak\r\n\n\ttab", "ÅÄÖ ÉCOLE ΑΒΓΣ", "日本語 テスト", "don't it's we'll I'M",
    "a<|endoftext|>b <image> <|im_start|>user", "a</s>b </s> c <unk>", "", " ", "ﬁ ﬂ ² ½ Ⅷ", "e\u0301 combining",
    "İstanbul", "snake_case-and.dots", "straße ẞ", "the red circle " * 30, "▁under▁ score", "\u00a0nbsp\u3000wide",
]  # fmt: skip


def write_clip(folder: Path) -> CLIPTokenizer:
    """CLIP's order: bytes, bytes that end a word, merges, the two special tokens."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.normalizer = normalizers.Lowercase()
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), behavior="removed", invert=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )  # fmt: skip
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=500, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(CORPUS.strip().splitlines() * 2, trainer)
    merges = [tuple(m) for m in json.loads(trained.to_str())["model"]["merges"]]
    entries = alphabet + [a + "</w>" for a in alphabet]
    entries += [t for t in dict.fromkeys("".join(m) for m in merges) if t not in entries]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    tok = CLIPTokenizer(vocab={t: i for i, t in enumerate(entries)}, merges=merges)
    tok.backend_tokenizer.save(str(folder / "clip.json"))
    return tok


def write_siglip(folder: Path) -> SiglipTokenizer:
    """A SentencePiece model in the form of SigLIP's, and its tokenizer.json in the form that the hub's folders have."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(CORPUS.lower().strip().splitlines() * 8), model_writer=out, vocab_size=110,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="nmt_nfkc",
        minloglevel=2, num_threads=1,
    )  # fmt: skip
    path = Path(tempfile.mkdtemp()) / "spiece.model"
    path.write_bytes(out.getvalue())
    spm = sentencepiece.SentencePieceProcessor(model_file=str(path))
    vocab = [(spm.id_to_piece(i), spm.get_score(i)) for i in range(spm.get_piece_size())]
    tok = Tokenizer(models.Unigram(vocab, unk_id=2))
    tok.add_special_tokens(["<pad>", "</s>", "<unk>"])
    punctuation = "[" + re.escape(string.punctuation) + "]"
    tok.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(punctuation), ""), normalizers.Replace(Regex(r"\s+"), " "),
         normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    )  # fmt: skip
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tok.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    as_json = json.loads(tok.to_str())
    # where the hub's has its table of characters (NFKC and more), whose 300 kB JavaScript's library does not read
    as_json["normalizer"]["normalizers"].insert(4, {"type": "Precompiled", "precompiled_charsmap": ""})
    (folder / "siglip.json").write_text(json.dumps(as_json, ensure_ascii=False))
    return SiglipTokenizer(str(path))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    clip, siglip = write_clip(FOLDER), write_siglip(FOLDER)
    qwen = AutoTokenizer.from_pretrained(FIXTURES / "processor-families" / "qwen2-vl")
    report = {"texts": TEXTS, "clip": [], "siglip": [], "qwen2": []}
    for text in TEXTS:
        for name, tok in (("clip", clip), ("qwen2", qwen)):
            ids = tok(text)["input_ids"]
            report[name].append({"ids": ids, "decoded": tok.decode(ids), "shown": tok.decode(ids, skip_special_tokens=True)})
        report["clip"][-1]["padded"] = clip(text, padding="max_length", max_length=77, truncation=True)["input_ids"]
        padded = siglip(text, padding="max_length", max_length=64, truncation=True)["input_ids"]
        report["siglip"].append({"padded": padded})
    (FOLDER / "expected.json").write_text(json.dumps(report, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
