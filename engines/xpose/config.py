"""The sizes of an X-Pose model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class XPoseConfig:
    """Every size of an X-Pose; the defaults are the published Swin-T model.

    `short_side` and `long_side` (px) are the resize rule: the short side of a frame becomes `short_side` unless the
    long one would then exceed `long_side`. `hidden_dim / 2` sine channels encode each coordinate.
    """

    backbone: Literal["swin", "conv", "mobilenet"] = "swin"
    embed_dim: int = 96  # Swin: width of stage 0; conv: width of the stem
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)  # Swin only
    window_size: int = 7  # Swin only
    widths: tuple[int, ...] = ()  # conv: channels of its four stages; mobilenet: of the stem and its 17 blocks
    hidden_dim: int = 256
    feedforward_dim: int = 2048
    attention_heads: int = 8
    levels: int = 4
    points: int = 4
    encoder_layers: int = 6
    box_decoder_layers: int = 2
    keypoint_decoder_layers: int = 4
    num_queries: int = 900
    num_groups: int = 50
    max_keypoints: int = 68
    prompt_dim: int = 512
    # What a keypoint's first offset from its box centre is measured in: the image (published, added to the logit of the
    # centre) or the box, so that a small model need not learn that small things have small offsets.
    first_offset: Literal["image", "box"] = "image"
    proposal_size: float = 0.05  # side of a proposal on level 0, as a fraction of the image; doubles per level
    visual_layers: int = 0  # of the encoder of prompts by example; 0: there is none
    # A class's logit: its group's (published), or the mean of that and of the best image token's, which learns in our
    # training, from every token on an instance, whether the image shows the class at all; less what the group's mean
    # log sigma takes from it where that is learnt. "sure" takes the latter from the group's own.
    score: Literal["group", "image", "sure"] = "group"
    # IoU of boxes above which only the better of two groups of one class is kept. The best token's logit lifts all
    # groups on a thing, so that ours need less than the published 0.9.
    overlap: float = 0.9
    # Visibility and sigma per keypoint: from a head of their own, which may know how the first guess looked ("clued"),
    # or guessed from what the published model gives.
    confidence: Literal["none", "estimated", "learned", "clued"] = "none"
    # Categories and keypoints that the dense first guess knows words for (mobilenet only; none: there is no guess), and
    # how many of the queries it gives.
    guess: tuple[int, ...] = ()
    guess_queries: int = 0
    short_side: int = 800
    long_side: int = 1333

    @classmethod
    def swin_t(cls) -> XPoseConfig:
        """The published model (ECCV 2024, Swin-T backbone)."""
        return cls()

    @classmethod
    def tiny(cls) -> XPoseConfig:
        """The published architecture with small sizes; used to test against golden outputs."""
        return cls(
            embed_dim=24,
            depths=(2, 2, 2, 2),
            num_heads=(1, 2, 4, 8),
            feedforward_dim=128,
            encoder_layers=2,
            keypoint_decoder_layers=2,
            num_queries=120,
        )

    @classmethod
    def nano(cls) -> XPoseConfig:
        """`xpose-nano`: small enough for real time on two CPU cores, trained by `training/`."""
        return cls(
            backbone="conv",
            embed_dim=16,
            depths=(1, 1, 2, 1),
            num_heads=(),
            widths=(32, 64, 128, 160),
            hidden_dim=128,
            feedforward_dim=256,
            attention_heads=4,
            levels=3,
            encoder_layers=2,
            box_decoder_layers=1,
            keypoint_decoder_layers=2,
            num_queries=40,
            num_groups=10,
            prompt_dim=128,
            first_offset="box",
            proposal_size=0.12,
            short_side=168,
            long_side=224,
        )

    @classmethod
    def eyes(cls) -> XPoseConfig:
        """`xpose-eyes`: nano's transformer on a body that has seen real people."""
        return replace(
            cls.nano(),
            backbone="mobilenet",
            depths=(),
            widths=(48, 24, 40, 40, 48, 48, 48, 96, 96, 96, 96, 144, 144, 144, 240, 240, 240, 480),
            guess=(10, 89),
            guess_queries=16,
            short_side=192,
            long_side=256,
        )

    @property
    def sees(self) -> bool:
        """Whether the weights have learned which keypoints can be seen."""
        return self.confidence in ("learned", "clued")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's metadata; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> XPoseConfig:
        """Rebuild a configuration from `as_dict` (lists from JSON become tuples). Raises TypeError on unknown names."""
        fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        return cls(**fields)
