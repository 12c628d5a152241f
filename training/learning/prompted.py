"""X-Pose with the encoders of its prompts, as they are trained together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.prompts.bank import TextEncoder
from xpose_stream.engines.xpose import XPose
from xpose_stream.training.learning.asked import Asked

TEMPERATURE = 0.1


class Prompted(nn.Module):
    """A model and the text encoder that is trained with it, or one that is not trained, such as CLIP's."""

    def __init__(self, model: XPose, text: nn.Module | None, reader: TextEncoder | None = None) -> None:
        super().__init__()
        self.model = model
        self.text = text
        self._reader = Remembered(reader) if reader is not None else None

    def read(self, texts: Sequence[str]) -> Tensor:
        """Embeddings [len(texts), P] of texts."""
        if self.text is not None:
            return self.text(texts)
        assert self._reader is not None
        return self._reader(texts).to(next(self.model.parameters()).device)

    def words(self, asked: Asked) -> tuple[Tensor, Tensor]:
        """Embeddings of the categories [C, P] and of their keypoints [C, K, P], 0 where a class has fewer."""
        lengths = [len(keypoints) for _, keypoints in asked.texts]
        flat = [category for category, _ in asked.texts] + [text for _, keypoints in asked.texts for text in keypoints]
        instances, *keypoints = self.read(flat).split([len(lengths), *lengths])
        room = asked.mask.shape[1]
        return instances, torch.stack([F.pad(one, (0, 0, 0, room - len(one))) for one in keypoints])

    def prompts(self, levels: Sequence[Tensor], asked: Asked) -> tuple[Tensor, Tensor, Tensor]:
        """Prompts of every image [B, C, P] and [B, C, K, P], and the loss that brings words and examples together."""
        said, named = self.words(asked)
        batch = len(asked.example)
        if self.model.visual is None or not len(asked.label):
            return said.expand(batch, -1, -1), named.expand(batch, -1, -1, -1), said.sum() * 0.0
        shown, marks = self.model.visual(
            [level[asked.picture] for level in levels[: self.model.config.levels]], asked.marked
        )
        contrast = contrast_loss(shown, said, asked.label)
        label, keypoint = asked.marked.present.nonzero().T
        columns = asked.mask.cumsum(-1) + F.pad(asked.mask.sum(-1).cumsum(0), (1, 0))[:-1, None] - 1
        wanted = columns[asked.label[label], keypoint]
        contrast = contrast + contrast_loss(marks[asked.marked.present], named[asked.mask], wanted)
        index = asked.example.clamp(min=0)
        weight = asked.weight[..., None]
        instances = said + weight * (shown[index] - said)
        present = weight[..., None] * asked.marked.present[index][..., None]
        return instances, named + present * (marks[index] - named), contrast


class Remembered:
    """What a text encoder that does not change said before."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self._said: dict[str, Tensor] = {}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Embeddings [len(texts), P] on the CPU."""
        new = [text for text in dict.fromkeys(texts) if text not in self._said]
        if new:
            with torch.no_grad():
                self._said |= dict(zip(new, self.encoder(new).float().cpu(), strict=True))
        return torch.stack([self._said[text] for text in texts])


def contrast_loss(shown: Tensor, said: Tensor, wanted: Tensor) -> Tensor:
    """Examples [E, P] are to be like their words, row `wanted` [E] of [N, P], more than like others, and the reverse.

    Source: X-Pose's contrast of modalities, in the form of CLIP's (Radford et al., 2021); words with several examples
    are to find any of them.
    """
    with torch.autocast(shown.device.type, enabled=False):
        logits = F.normalize(shown.float(), dim=-1) @ F.normalize(said.float(), dim=-1).T / TEMPERATURE
        forth = F.cross_entropy(logits, wanted)
        own = F.one_hot(wanted, len(said)).bool()
        asked = own.any(0)
        found = logits.masked_fill(~own, -torch.inf).logsumexp(0) - logits.logsumexp(0)
        return (forth - found[asked].mean()) / 2
