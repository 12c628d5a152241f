"""A small text encoder over a closed vocabulary, so that a small model needs no download to read its prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xpose_stream.error import UserError


class PromptError(UserError):
    """A prompt, skeleton or prompt bank that cannot be used; the message is one sentence."""


class UnknownPrompt(PromptError):
    """A prompt that the model's text encoder cannot read."""


class WordEncoder(nn.Module):
    """Texts such as "left knee" to embeddings; a transformer layer over word embeddings, averaged.

    `vocabulary` holds every word it knows; `categories` the category names the weights were trained on.
    """

    name = "words"
    max_words = 8

    def __init__(self, vocabulary: Sequence[str], prompt_dim: int, categories: Sequence[str] = ()) -> None:
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self.categories = tuple(categories)
        self.prompt_dim = prompt_dim
        self._row = {word: i + 1 for i, word in enumerate(self.vocabulary)}  # row 0 is padding
        self.words = nn.Embedding(len(self.vocabulary) + 1, prompt_dim, padding_idx=0)
        self.places = nn.Embedding(self.max_words, prompt_dim)
        nn.init.normal_(self.places.weight, std=0.1)  # shared by all texts, so small
        # Pre-norm: the words themselves pass through, so that texts that differ in one word stay apart.
        self.mix = nn.TransformerEncoderLayer(
            prompt_dim, 4, 2 * prompt_dim, dropout=0.0, batch_first=True, norm_first=True
        )

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Embeddings [len(texts), prompt_dim]. Raises UnknownPrompt naming the first word it does not know."""
        tokens = torch.tensor([self._tokens(text) for text in texts], device=self.words.weight.device)
        padding = tokens == 0
        mixed = self.mix(self.words(tokens) + self.places.weight, src_key_padding_mask=padding)
        kept = (~padding).unsqueeze(-1)
        return (mixed * kept).sum(1) / kept.sum(1)

    def knows(self, category: str) -> bool:
        """Whether the weights were trained on this category."""
        return words_of(category) in [words_of(known) for known in self.categories]

    def _tokens(self, text: str) -> list[int]:
        words = words_of(text)
        if not words or len(words) > self.max_words:
            raise UnknownPrompt(f"The prompt '{text}' has {len(words)} words; it must have 1 to {self.max_words}.")
        for word in words:
            if word not in self._row:
                known = ", ".join(self.vocabulary)
                raise UnknownPrompt(f"The word '{word}' of the prompt '{text}' is none these weights know: {known}.")
        return [self._row[word] for word in words] + [0] * (self.max_words - len(words))


def words_of(text: str) -> list[str]:
    """Lower-case words of a prompt; `_` and `-` separate words."""
    return text.lower().replace("_", " ").replace("-", " ").split()
