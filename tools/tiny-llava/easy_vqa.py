"""The easy-VQA dataset (Victor Zhou, 2019, MIT): images 64 x 64, and which of them may be trained on.

The folder is the dataset's own `train` split: `train/questions.json` ([question, answer, image id]) and
`train/images/<id>.png`. By the last digit of its id an image belongs to
  0     validation: measured on, never trained on
  1, 2  the few-shot task: never trained on either
  3..9  training
"""

import json
from collections import defaultdict
from pathlib import Path

from PIL import Image


class EasyVqa:
    def __init__(self, folder):
        self.folder = Path(folder) / "train"
        self.by_image = defaultdict(list)
        for question, answer, image_id in json.loads((self.folder / "questions.json").read_text()):
            self.by_image[image_id].append((question, answer))

    def ids(self, split):
        last_digits = {"validation": "0", "few-shot": "12", "train": "3456789"}[split]
        return [image_id for image_id in sorted(self.by_image) if str(image_id)[-1] in last_digits]

    def path(self, image_id):
        return self.folder / "images" / f"{image_id}.png"

    def image(self, image_id):
        return Image.open(self.path(image_id)).convert("RGB")

    def answers(self, image_id):
        """The set of all answers given about an image: contains its colour and its shape."""
        return {answer for _, answer in self.by_image[image_id]}

    def color(self, image_id):
        """The colour that a question states ("what color is the shape?"), or None if none does."""
        colors = {"red", "green", "blue", "yellow", "black", "gray", "brown", "teal"} & self.answers(image_id)
        return colors.pop() if len(colors) == 1 else None
