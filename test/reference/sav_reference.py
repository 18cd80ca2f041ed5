"""Sparse Attention Vectors (arXiv 2412.00142) in a few plain lines of float64, on head outputs of transformers.

Class index: order of first appearance in the training rows. Cosine ties take the first class. Heads are ranked by score,
then mean leave-one-out margin, then layer, then head; vote ties go to the class voted first in that order.
"""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import oracle

CLASSES = ("rows", "columns", "spots")
QUESTIONS = ("Which class does the image belong to?", "What is in this image? Answer with the class name.")
N_TRAIN, N_QUERIES, K = 8, 5, 5  # examples a class, queries a class, heads
FIXED_HEADS = [[2, 3], [0, 1], [1, 0], [0, 2]]  # heads given from outside, an even number so that votes tie


def draw(kind: str, rng: np.random.Generator) -> Image.Image:
    """Rows, columns or spots of random colours, each leaning to a hue, in noise: learnable, but not by every head."""
    height, width = int(rng.integers(28, 44)), int(rng.integers(28, 44))
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    period, phase = rng.uniform(7, 11), rng.uniform(0, 6)
    wave = {"rows": np.sin, "columns": np.sin, "spots": np.cos}[kind]
    along = {"rows": y, "columns": x, "spots": (x + y) / 1.4}[kind]
    shade = wave(along * 2 * np.pi / period + phase)
    if kind == "spots":
        shade *= np.cos((x - y) / 1.4 * 2 * np.pi / period)
    lean = {"rows": (60, 0, -30), "columns": (-30, 50, 0), "spots": (0, -30, 60)}[kind]
    base, ink = rng.uniform(60, 190, 3) + lean, rng.uniform(-80, 80, 3)
    pixels = base + shade[..., None] * ink + rng.normal(0, 20, (height, width, 3))
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def write_data(folder: Path) -> None:
    """train.jsonl, queries.jsonl ({image, question, label}, paths relative to the file) and the images."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2412)
    for part, n in (("train", N_TRAIN), ("queries", N_QUERIES)):
        labels = rng.permutation(np.repeat(CLASSES, n))
        rows = []
        for i, label in enumerate(labels):
            file = f"images/{part}-{i:02}.png"
            draw(str(label), rng).save(folder / file)
            rows.append({"image": file, "question": QUESTIONS[int(rng.integers(2))], "label": str(label)})
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def head_vectors(checkpoint: Path, data: Path) -> tuple[np.ndarray, list[str]]:
    """[example, layer, head, dHead]: hook_z at the last token of the prompt; and the labels."""
    model = oracle.load(checkpoint)
    vectors, labels = [], []
    for line in data.read_text().splitlines():
        row = json.loads(line)
        content = [{"type": "image"}, {"type": "text", "text": row["question"]}]
        entry = {"images": [row["image"]], "messages": [{"role": "user", "content": content}]}
        cache = oracle.capture(model, oracle.prepare(checkpoint, data.parent, entry))
        layers = [cache[f"blocks.{i}.attn.hook_z"][-1] for i in range(model.config.text_config.num_hidden_layers)]
        vectors.append(torch.stack(layers).numpy())
        labels.append(row["label"])
    return np.stack(vectors), labels


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Over the last axis, each side divided by max(norm, 1e-8)."""
    unit = lambda x: x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-8)
    return (unit(a) * unit(b)).sum(-1)


def similarities(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """[example, layer, head, class] from [example, layer, head, d] and [class, layer, head, d]."""
    return np.stack([cosine(vectors, centroid) for centroid in centroids], axis=-1)


def majority(votes: np.ndarray) -> int:
    """The class with most votes; a tie goes to the class voted first."""
    counts = np.bincount(votes)
    return int(next(vote for vote in votes if counts[vote] == counts.max()))


def run(train: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> dict[str, np.ndarray]:
    """Everything the method computes; `labels` are class indices."""
    train, queries = train.astype(np.float64), queries.astype(np.float64)
    n_classes, n_heads = labels.max() + 1, train.shape[2]
    counts = np.bincount(labels)
    centroids = np.stack([train[labels == c].mean(0) for c in range(n_classes)])
    to_centroids = similarities(train, centroids)
    scores = (to_centroids.argmax(-1) == labels[:, None, None]).sum(0)

    left_out = to_centroids.copy()  # the own class's centroid without the example itself
    for i, c in enumerate(labels):
        left_out[i, ..., c] = cosine(train[i], (counts[c] * centroids[c] - train[i]) / (counts[c] - 1))
    loo_scores = (left_out.argmax(-1) == labels[:, None, None]).sum(0)
    own = np.stack([left_out[i, ..., c] for i, c in enumerate(labels)])
    others = np.stack([np.delete(left_out[i], c, axis=-1).max(-1) for i, c in enumerate(labels)])
    margins = (own - others).mean(0)

    def ranking(score):
        heads = [(layer, head) for layer in range(train.shape[1]) for head in range(n_heads)]
        return np.array(sorted(heads, key=lambda at: (-score[at], -margins[at], at)))

    result = {
        "centroids": centroids.astype(np.float32),
        "train.scores": scores.astype(np.int32),
        "train.ranking": ranking(scores).astype(np.int32),
        "leave_one_out.scores": loo_scores.astype(np.int32),
        "leave_one_out.margins": margins.astype(np.float32),
        "leave_one_out.ranking": ranking(loo_scores).astype(np.int32),
    }
    asked = similarities(queries, centroids)
    chosen = {"parity": ranking(scores)[:K], "leave_one_out": ranking(loo_scores)[:K], "fixed": np.array(FIXED_HEADS)}
    for name, heads in chosen.items():
        sims = asked[:, heads[:, 0], heads[:, 1]]  # [query, head, class]
        votes = sims.argmax(-1)
        result |= {
            f"{name}.heads": heads.astype(np.int32),
            f"{name}.similarities": np.ascontiguousarray(sims, np.float32),  # save_file stores memory as it lies
            f"{name}.votes": votes.astype(np.int32),
            f"{name}.majority": np.array([majority(v) for v in votes], np.int32),
            f"{name}.soft": sims.sum(1).argmax(-1).astype(np.int32),
        }
    gaps = [np.diff(np.sort(s, -1)[..., -2:], axis=-1).min() for s in (to_centroids, left_out, asked)]
    result["smallest_gap"] = np.array(gaps)  # between the two best cosines: training, leave-one-out, queries
    return result


def expected(checkpoint: Path, folder: Path) -> tuple[dict[str, np.ndarray], dict]:
    train, labels = head_vectors(checkpoint, folder / "train.jsonl")
    queries, truth = head_vectors(checkpoint, folder / "queries.jsonl")
    names = list(dict.fromkeys(labels))
    tensors = run(train, np.array([names.index(label) for label in labels]), queries)
    gaps = tensors.pop("smallest_gap").tolist()
    accuracy = {
        name: float(np.mean([names[p] == t for p, t in zip(tensors[name], truth)]))
        for name in tensors
        if name.endswith((".majority", ".soft"))
    }
    tensors |= {"head_vectors.train": train, "head_vectors.queries": queries}
    gaps = dict(zip(("train", "leave_one_out", "queries"), gaps))
    report = {"checkpoint": checkpoint.name, "classes": names, "k": K, "smallest_cosine_gap": gaps, "accuracy": accuracy}
    return tensors, report
