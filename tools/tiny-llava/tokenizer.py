"""The tokenizer: a Llama-style byte-fallback BPE with the layout of llava-hf/llava-1.5-7b-hf's tokenizer.json.

    python tokenizer.py --easy-vqa DIR --out ../../weights/tiny-llava
"""

import argparse
import json
import random
import string
from functools import lru_cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from easy_vqa import EasyVqa
from questions import ask_caption, sample_questions
from scenes import random_scene

VOCABULARY = 900
SPECIAL = ["<unk>", "<s>", "</s>"]
# Everyday words, so that a user's own prompts do not fall apart into letters. Not the novel words of the tasks.
EVERYDAY = """The the is are was it this that these those you can see image picture photo of in on with and or not no yes
left right up down more less than same different many few each other both all any some big small first last one two three
four zero pattern category class label answer question which what where when who how why please object objects color shape"""


def corpus(easy_vqa, scenes=6000):
    rng = random.Random(0)
    for _ in range(scenes):
        scene = random_scene(rng)
        for question, answer in [*sample_questions(scene, rng, 8), ask_caption(scene, rng)]:
            yield f" USER: {question} ASSISTANT: {answer}"
            yield question.split(" ")[0]  # the first word of a question follows a line break, not a space
    for image_id in easy_vqa.ids("train")[::5]:
        for question, answer in easy_vqa.by_image[image_id]:
            yield f" USER: {question} ASSISTANT: {answer}"
            yield question.split(" ")[0]
    for _ in range(30):
        yield from (" " + word for word in EVERYDAY.split())
    yield from (f" {letter}{letter}" for letter in string.ascii_letters + string.digits)
    yield " ".join(string.punctuation)


def build(easy_vqa):
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    # Only while learning merges: words stay apart from punctuation and from each other.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[?.,:]"), "isolated"),
            pre_tokenizers.Metaspace(prepend_scheme="never", split=True),
        ]
    )
    special = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(corpus(easy_vqa), trainer)

    # From here on as in Llama: no pre-tokenizer, spaces become "▁" and one is put in front.
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    added = [*SPECIAL, "<image>", "<pad>"]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in added])
    # The byte tokens of a Llama tokenizer are plain vocabulary, not special tokens: drop them from the added ones.
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] in added]
    return Tokenizer.from_str(json.dumps(data, ensure_ascii=False))


def prompt(question):
    """LLaVA-1.5's chat template with one image, ending in the generation prompt."""
    return f"USER: <image>\n{question} ASSISTANT:"


class Encoder:
    """Token ids of the training text, split where the image goes and where the answer starts."""

    def __init__(self, path):
        self.tokenizer = Tokenizer.from_file(str(path))
        self.image_id = self.tokenizer.token_to_id("<image>")
        self.end_id = self.tokenizer.token_to_id("</s>")
        ids = self.tokenizer.encode(prompt("x?")).ids
        self.prefix = ids[: ids.index(self.image_id)]
        self.question = lru_cache(200_000)(self._question)
        self.answer = lru_cache(200_000)(self._answer)

    def _question(self, question):
        ids = self.tokenizer.encode(prompt(question)).ids
        return ids[ids.index(self.image_id) + 1 :]

    def _answer(self, answer):
        before = self.tokenizer.encode(prompt("x?")).ids
        ids = self.tokenizer.encode(f"{prompt('x?')} {answer}</s>").ids
        if ids[: len(before)] != before:
            raise ValueError(f"the answer {answer!r} changes how the prompt is split into tokens")
        return ids[len(before) :]

    def decode(self, ids):
        return self.tokenizer.decode(ids).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--easy-vqa", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tokenizer = build(EasyVqa(args.easy_vqa))
    tokenizer.save(str(args.out / "tokenizer.json"))
    print(tokenizer.get_vocab_size(), "entries")
    print(tokenizer.encode(prompt("What color is the circle?") + " a large red star at the top left.</s>").tokens)


if __name__ == "__main__":
    main()
