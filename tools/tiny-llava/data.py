"""Training batches. Batch number n depends only on the seed and n, so a resumed run sees the same data."""

import random

import numpy as np
import torch

from model import IMAGE_TOKENS, image_processor, normalise
from questions import sample_questions
from scenes import IMAGE_SIZE, PATCH_CLASSES, patch_labels, random_scene, render

BATCH = 32
EASY_VQA_SHARE = 8  # images of a batch that are easy-VQA's; the others are drawn scenes
TEXT_TOKENS = 92  # room for the questions and answers about one image; those that do not fit are left out
IGNORE = -100


class Batches:
    def __init__(self, encoder, easy_vqa, seed):
        self.encoder, self.easy_vqa, self.seed = encoder, easy_vqa, seed
        self.easy_ids = easy_vqa.ids("train")
        # Through the checkpoint's image processor up to the normalisation, which follows for all images alike.
        resize = image_processor()
        images = [easy_vqa.image(image_id) for image_id in self.easy_ids]
        pixels = resize(images, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"]
        self.easy_pixels = pixels.transpose(0, 2, 3, 1).astype(np.uint8)

    def scenes(self, number):
        """Scenes and patch labels only, for the warm-up of the vision tower: pixels, labels [4, batch * patches]."""
        rng = random.Random(f"{self.seed} vision {number}")
        scenes = [random_scene(rng, max_things=6) for _ in range(2 * BATCH)]
        pixels = np.stack([render(scene, rng) for scene in scenes])
        labels = np.stack([patch_labels(scene) for scene in scenes], 1)
        return normalise(pixels), torch.from_numpy(labels).flatten(1)

    def questions(self, number, max_things=4):
        """A batch of images with several question-answer pairs each, packed one after the other.

        All pairs of an image share its prefix and start at the same position; a pair sees the prefix and itself. Returns
        pixels, token ids [batch, n], segments [batch, prefix + n], positions [batch, prefix + n], targets [batch, n]
        (IGNORE where nothing is learned), patch labels [4, batch * patches].
        """
        rng = random.Random(f"{self.seed} questions {number}")
        start = len(self.encoder.prefix) + IMAGE_TOKENS
        pixels = np.empty((BATCH, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        patches = np.full((len(PATCH_CLASSES), BATCH, IMAGE_TOKENS), IGNORE, np.int64)
        tokens = np.zeros((BATCH, TEXT_TOKENS), np.int64)
        segments = np.zeros((BATCH, start + TEXT_TOKENS), np.int64)
        segments[:, start:] = -1
        positions = np.tile(np.arange(start + TEXT_TOKENS), (BATCH, 1))
        targets = np.full((BATCH, TEXT_TOKENS), IGNORE, np.int64)
        for row in range(BATCH):
            if row < EASY_VQA_SHARE:
                index = rng.randrange(len(self.easy_ids))
                pixels[row] = self.easy_pixels[index]
                known = self.easy_vqa.by_image[self.easy_ids[index]]
                pairs = rng.sample(known, len(known))
            else:
                scene = random_scene(rng, max_things)
                pixels[row] = render(scene, rng)
                patches[:, row] = patch_labels(scene)
                pairs = sample_questions(scene, rng, 7)
            self._pack(pairs, tokens[row], segments[row, start:], positions[row, start:], targets[row], start)
        return (
            normalise(pixels),
            *(torch.from_numpy(array) for array in (tokens, segments, positions, targets)),
            torch.from_numpy(patches).flatten(1),
        )

    def _pack(self, pairs, tokens, segments, positions, targets, start):
        used = 0
        for segment, (question, answer) in enumerate(pairs, 1):
            asked, answered = self.encoder.question(question), self.encoder.answer(answer)
            end = used + len(asked) + len(answered)
            if end > TEXT_TOKENS:
                continue
            tokens[used:end] = asked + answered
            segments[used:end] = segment
            positions[used:end] = range(start, start + end - used)
            # The last question token predicts the first answer token, and so on; </s> predicts nothing.
            targets[used + len(asked) - 1 : end - 1] = answered
            used = end


def attention_bias(segments, dtype):
    """[batch, 1, n, n]: 0 where a token may look (the prefix, segment 0, and its own segment, not ahead), else -1e9."""
    same = segments[:, None, :] == segments[:, :, None]
    allowed = (same | (segments[:, None, :] == 0)) & torch.ones(segments.shape[1], segments.shape[1]).tril().bool()
    return torch.zeros(allowed.shape, dtype=dtype).masked_fill_(~allowed, -1e9)[:, None]
