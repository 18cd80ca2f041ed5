"""Ways to break transformers' models of the families, one thing at a time: `MUTATIONS`, by what is broken."""

from families.mutations import contrastive, decoder, llava, qwen, towers  # noqa: F401 (they register themselves)
from families.mutations.registry import MUTATIONS as MUTATIONS
