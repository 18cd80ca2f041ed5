"""Sparse Attention Vectors (arXiv 2412.00142) on transformers' activations: the reference for the shipped tasks.

A head's vector is its output at the last prompt token: the input of o_proj, split by head.
"""

import torch

from model import TEXT_HEADS


@torch.no_grad()
def head_outputs(model, ids, pixels, batch=50):
    """[examples, layers, heads, head size] for one prompt `ids` [n] and images [examples, 3, 48, 48]."""
    layers = model.model.language_model.layers
    kept = [None] * len(layers)

    def keep(index):
        return lambda module, inputs: kept.__setitem__(index, inputs[0][:, -1])

    hooks = [layer.self_attn.o_proj.register_forward_pre_hook(keep(i)) for i, layer in enumerate(layers)]
    parts = []
    for chunk in pixels.split(batch):
        model(input_ids=torch.tensor(ids).expand(len(chunk), -1), pixel_values=chunk, use_cache=False)
        parts.append(torch.stack(kept, 1).unflatten(-1, (TEXT_HEADS, -1)))
    for hook in hooks:
        hook.remove()
    return torch.cat(parts)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-8)


class Sav:
    """Class centroids per head and the heads in order of merit. Classes are numbered by first appearance."""

    def __init__(self, vectors, labels, scoring):
        """vectors [n, layers, heads, d]; labels, n strings; scoring 'train' or 'leave-one-out'."""
        self.classes = list(dict.fromkeys(labels))
        vectors = vectors.flatten(1, 2)
        y = torch.tensor([self.classes.index(label) for label in labels])
        one_hot = torch.nn.functional.one_hot(y, len(self.classes)).to(vectors.dtype)
        counts = one_hot.sum(0)
        self.centroids = torch.einsum("nc,nhd->chd", one_hot, vectors) / counts[:, None, None]
        similar = self.similarities(vectors)
        # Without the example itself its own class has the centroid (n mu - x) / (n - 1); the others keep theirs.
        n = counts[y][:, None, None]
        without = (n * self.centroids[y] - vectors) / (n - 1)
        held_out = similar.clone()
        held_out[torch.arange(len(y)), :, y] = (unit(without) * unit(vectors)).sum(-1)
        rows = held_out if scoring == "leave-one-out" else similar
        self.scores = (rows.argmax(-1) == y[:, None]).sum(0)
        own = held_out.gather(2, y[:, None, None].expand(-1, held_out.shape[1], 1))[..., 0]
        others = held_out.scatter(2, y[:, None, None].expand(-1, held_out.shape[1], 1), -2.0).max(-1).values
        margins = (own - others).mean(0)
        # By score, then mean leave-one-out margin, then layer, then head.
        self.ranking = sorted(range(len(margins)), key=lambda h: (-self.scores[h].item(), -margins[h].item(), h))

    def similarities(self, vectors):
        """[n, heads, classes] cosines."""
        return torch.einsum("nhd,chd->nhc", unit(vectors), unit(self.centroids))

    def predict(self, vectors, k):
        """Majority vote of the best k heads; ties go to the class voted first in ranking order."""
        votes = self.similarities(vectors.flatten(1, 2))[:, self.ranking[:k]].argmax(-1)
        result = []
        for row in votes.tolist():
            counts = {label: row.count(label) for label in row}  # in order of first vote, which max() respects
            result.append(self.classes[max(counts, key=counts.get)])
        return result
