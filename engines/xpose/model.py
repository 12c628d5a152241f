"""X-Pose: open-vocabulary, end-to-end keypoint detection (Yang et al., ECCV 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xpose_stream.engines.xpose.confidence import Confidence, estimate, first_clues
from xpose_stream.engines.xpose.config import XPoseConfig
from xpose_stream.engines.xpose.constants import SizeConstants
from xpose_stream.engines.xpose.convnet import ConvNet
from xpose_stream.engines.xpose.decoder import Decoder
from xpose_stream.engines.xpose.encoder import Encoder
from xpose_stream.engines.xpose.grid import Grid, GridMaker
from xpose_stream.engines.xpose.guess import First, Guess, Guessed
from xpose_stream.engines.xpose.layers import MLP, inverse_sigmoid, take
from xpose_stream.engines.xpose.mobilenet import MobileNet
from xpose_stream.engines.xpose.stages import (
    UNGUESSED,
    Answering,
    Boxes,
    Choose,
    Denoising,
    Groups,
    Layer,
    Stages,
    Tokens,
    XPoseOutput,
)
from xpose_stream.engines.xpose.swin import Swin
from xpose_stream.engines.xpose.visual import Marked, VisualEncoder

# How much the mean spread of a group's keypoints takes from its logit, and that which takes nothing: AP and false
# positives on a held-out bank were best so.
SPREAD_COUNTS, USUAL_SPREAD = 0.9, -2.6
BY_LOOKS = -6.0  # logit of a token for what is known by its looks alone, of which it knows nothing


class XPose(nn.Module):
    """Images and prompt embeddings to groups of a class, a box and keypoints, in the pruned form.

    Only the C classes and K keypoints that were asked for are computed, and the groups are independent of each other.
    """

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.hidden_dim
        backbones: dict[str, type[Swin | ConvNet | MobileNet]] = {"swin": Swin, "conv": ConvNet, "mobilenet": MobileNet}
        self.backbone = backbones[config.backbone](config)
        channels = self.backbone.channels
        self.input_proj = nn.ModuleList(project(c, dim, kernel=1) for c in channels)
        for _ in range(config.levels - len(channels)):
            self.input_proj.append(project(channels[-1], dim, kernel=3, stride=2))
        self.projection = MLP(config.prompt_dim, dim, dim, dim)
        self.projection_kpt = MLP(config.prompt_dim, dim, dim, dim)
        self.level_embed = nn.Parameter(torch.randn(config.levels, dim))
        self.encoder = Encoder(config)
        self.enc_output = nn.Linear(dim, dim)
        self.enc_output_norm = nn.LayerNorm(dim)
        self.enc_out_bbox_embed = MLP(dim, dim, dim, 4)
        self.tgt_embed = nn.Embedding(config.num_queries, dim)
        self.decoder = Decoder(config)
        self.bbox_embed = MLP(dim, dim, dim, 4)
        self.pose_embed = MLP(dim, dim, dim, 2)
        self.pose_hw_embed = MLP(dim, dim, dim, 2)
        clued = {"learned": False, "clued": True}.get(config.confidence)
        self.confidence = None if clued is None else Confidence(dim, clued)
        self.visual = VisualEncoder(config) if config.visual_layers else None
        self.guess = Guess(config) if config.guess else None
        # What the decoder adds to the logits of a query starts small: by itself a query is as sure as where it is from.
        self.decided = nn.Parameter(torch.full((2,), 0.1)) if config.guess else None
        self.grid_maker = GridMaker(config)
        self.grid_constants = SizeConstants(self.grid_maker.whole)

    def forward(
        self,
        images: Tensor,
        instance_prompts: Tensor,
        keypoint_prompts: Tensor,
        keypoint_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> XPoseOutput:
        """Detect the prompted keypoints.

        `images` [B, 3, H, W] normalised; `instance_prompts` [C, P] or [B, C, P]; `keypoint_prompts` [K, P] for all
        classes, [C, K, P] per class with `keypoint_mask` [C, K] True where a class has a keypoint, or [B, C, K, P];
        `padding_mask` [B, H, W] True on padding.
        """
        stages = self.stages(images, instance_prompts, keypoint_prompts, keypoint_mask, padding_mask)
        if self.config.score == "group":
            return stages.output
        return stages.output._replace(logits=self._known(stages, keypoint_mask))

    def _known(self, stages: Stages, keypoint_mask: Tensor | None) -> Tensor:
        """Logits [B, G, C] of groups that also know whether the image shows the class, and how sure keypoints are.

        Source of the latter: Huang et al., Mask Scoring R-CNN (CVPR 2019).
        """
        logits, spread = stages.output.logits, stages.output.spread
        if self.config.score == "image":
            shown = stages.token_logits.masked_fill(~stages.token_valid.unsqueeze(-1), -torch.inf).amax(1, keepdim=True)
            logits = (logits + shown) / 2
        if spread is None:
            return logits
        real = torch.ones_like(spread)
        if keypoint_mask is not None:
            real = keypoint_mask[stages.group_classes.flatten()].view_as(spread).to(spread.dtype)
        mean = (spread * real).sum(-1, keepdim=True) / real.sum(-1, keepdim=True)
        return logits - stages.answer.may * SPREAD_COUNTS * (mean - USUAL_SPREAD)

    def prompts_of(self, pictures: Tensor, marked: Marked) -> tuple[Tensor, Tensor]:
        """Prompt embeddings [E, P] and [E, K, P] of instances marked in normalised pictures [E, 3, H, W]."""
        assert self.visual is not None, "these weights have no visual prompt encoder"
        return self.visual(self.levels(pictures)[: self.config.levels], marked)

    def levels(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps of the images, projected to the hidden width: [B, D, h, w] for every level.

        After these, where there is a first guess, what it looks at.
        """
        seen = self.backbone(images)
        maps, dense = seen[: len(self.backbone.channels)], seen[len(self.backbone.channels) :]
        levels = [project(level) for project, level in zip(self.input_proj, maps, strict=False)]
        return levels + [project(maps[-1]) for project in self.input_proj[len(maps) :]] + dense

    def stages(
        self,
        images: Tensor,
        instance_prompts: Tensor,
        keypoint_prompts: Tensor,
        keypoint_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        denoise: Denoising | None = None,
        levels: Sequence[Tensor] | None = None,
        choose: Choose | None = None,
    ) -> Stages:
        """Like `forward`, with everything on the way; `levels` where `self.levels(images)` is there already.

        `choose` makes the groups in training, where the best queries are not yet those on instances.
        """
        batch = images.shape[0]
        if instance_prompts.dim() == 2:
            instance_prompts = instance_prompts.expand(batch, -1, -1)
        meaning = self.config.prompt_dim  # what a prompt looks like may follow it
        text = self.projection(instance_prompts[..., :meaning])
        seeds = self.projection_kpt(keypoint_prompts[..., :meaning])
        seen = self.levels(images) if levels is None else levels
        image, positions, grid = self._tokens(seen[: self.config.levels], padding_mask)
        memory, memory_text = self.encoder(image, text, positions, grid)

        size = int(images.shape[-2]), int(images.shape[-1])
        guessed = self._guess(seen[self.config.levels :], size, instance_prompts, keypoint_prompts)
        tokens = self._score_tokens(memory, memory_text, grid, guessed)
        boxes = self._box_layers(tokens, memory, memory_text, grid)
        aspect = images.shape[-1] / images.shape[-2]
        index, classes = (choose or best)(
            Layer(self._box_logits(boxes.hidden[-1], memory_text, tokens), boxes.references[-1]), self.config.num_groups
        )
        groups = Groups(index, classes, *group_keypoints(seeds, keypoint_mask, classes))
        stages = self._keypoint_layers(tokens, boxes, groups, memory, memory_text, grid, aspect, guessed)
        if self.training:
            self._supervise(stages, tokens, boxes, grid, denoise)
        return stages

    def _tokens(self, levels: Sequence[Tensor], padding_mask: Tensor | None) -> tuple[Tensor, Tensor, Grid]:
        """Image tokens [B, S, D], their positions [1 | B, S, D] and the grid they lie on."""
        sizes = tuple((level.shape[2], level.shape[3]) for level in levels)
        if padding_mask is None:
            held = self.grid_constants(*sizes, like=self.level_embed)
            grid = Grid(sizes, held.positions, held.references, held.proposals, held.valid, held.frequencies)
        else:
            grid = self.grid_maker.padded(sizes, padding_mask, self.level_embed)
        embed = [self.level_embed[i].expand(height * width, -1) for i, (height, width) in enumerate(sizes)]
        return (
            torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1),
            grid.positions + torch.cat(embed),
            grid,
        )

    def _guess(
        self, dense: Sequence[Tensor], size: tuple[int, int], instances: Tensor, keypoints: Tensor
    ) -> Guessed | None:
        """The dense first guess for prompts [B, C, P] and [K, P], [C, K, P] or [B, C, K, P]."""
        if self.guess is None:
            return None
        batch, classes = instances.shape[:2]
        keypoints = keypoints.expand(batch, classes, *keypoints.shape[-2:])
        return self.guess(list(dense), size, instances, keypoints)

    def _score_tokens(
        self, memory: Tensor, memory_text: Tensor, grid: Grid, guessed: Guessed | None = None
    ) -> Tokens:
        """Score every image token as a proposal and take the best, after those of the first guess: Q together."""
        hidden = self.enc_output_norm(self.enc_output(memory.masked_fill(~grid.valid.unsqueeze(-1), 0.0)))
        logits = self._logits(hidden, memory_text)
        index = logits.amax(-1).topk(self.config.num_queries - self.config.guess_queries, sorted=True).indices
        offset = self.enc_out_bbox_embed(take(hidden, index))
        proposals = take(grid.proposals.expand(hidden.shape[0], -1, -1), index)
        entering, boxes = take(logits, index), torch.sigmoid(offset + proposals)
        may: Tensor | float = 1.0
        if guessed is not None and self.guess is not None:
            may = self.guess.decided(guessed)
            entering = entering * may + BY_LOOKS * (1 - may)
            found = self.guess.candidates(guessed)
            entering, boxes = torch.cat((found.logits, entering), 1), torch.cat((found.boxes, boxes), 1)
        return Tokens(hidden, logits, index, entering, boxes, may)

    def _box_logits(self, hidden: Tensor, memory_text: Tensor, tokens: Tokens) -> Tensor:
        """Logits [B, Q, C] of the queries after a box layer."""
        logits = self._logits(hidden, memory_text)
        return logits if self.decided is None else tokens.logits_entering + tokens.may * self.decided[0] * logits

    def _logits(self, hidden: Tensor, memory_text: Tensor) -> Tensor:
        """How well tokens [B, T, D] fit the classes: [B, T, C]."""
        return hidden @ memory_text.transpose(1, 2)

    def _box_layers(self, tokens: Tokens, memory: Tensor, memory_text: Tensor, grid: Grid) -> Boxes:
        content = self.tgt_embed.weight.expand(memory.shape[0], -1, -1)  # tied to the rank, not to the token
        return self._refine_boxes(content, tokens.boxes, memory, memory_text, grid)

    def _refine_boxes(
        self,
        content: Tensor,
        boxes: Tensor,
        memory: Tensor,
        memory_text: Tensor,
        grid: Grid,
        mask: Tensor | None = None,
    ) -> Boxes:
        """Run the box layers on queries [B, T, D] with references [B, T, 4]."""
        hidden, references = [], [boxes]
        for i in range(self.config.box_decoder_layers):
            entering = references[-1].detach()
            content = self.decoder.step(
                i, content.unsqueeze(1), entering.unsqueeze(1), memory, memory_text, grid, mask
            ).squeeze(1)
            hidden.append(content)
            references.append(torch.sigmoid(self.bbox_embed(content) + inverse_sigmoid(entering)))
        return Boxes(hidden, references)

    def _keypoint_layers(
        self,
        tokens: Tokens,
        boxes: Boxes,
        groups: Groups,
        memory: Tensor,
        memory_text: Tensor,
        grid: Grid,
        aspect: float,
        guessed: Guessed | None,
    ) -> Stages:
        """Refine the groups' boxes and keypoints together, and answer."""
        index, classes, seeds, mask = groups
        own = take(boxes.references[-1], index).detach()
        first = None
        if guessed is not None and self.guess is not None:
            first = self.guess.first(guessed, own, classes)
            seeds = seeds + self.guess.trust(first.clues)
        entering = None if first is None else take(self._box_logits(boxes.hidden[-1], memory_text, tokens), index)
        answer = Answering(entering, None if first is None else first.unit.detach(), tokens.may)
        content = torch.cat((take(boxes.hidden[-1], index).unsqueeze(2), seeds), 2)
        references = self._group_references(own, seeds, first)

        hidden, entered = list(boxes.hidden), list(boxes.references[:-1])
        for i in range(self.config.box_decoder_layers, len(self.decoder.layers)):
            entered.append(references)
            content = self.decoder.step(i, content, references, memory, memory_text, grid, mask)
            hidden.append(content)
            if i + 1 < len(self.decoder.layers):
                references = self._refine_group(content, references, answer).detach()
        normed = self.decoder.norm(content)
        output = self._answer(normed, references, memory_text, answer)
        if self.confidence is not None:
            told = normed[:, :, 1:]
            if first is not None and self.config.confidence == "clued":
                clues = first_clues(first, output.logits, output.boxes, output.keypoints, aspect)
                told = torch.cat((told, clues), -1)
            output = output._replace(**self.confidence(told))
        elif self.config.confidence == "estimated":
            output = output._replace(**estimate(output.logits, output.boxes, output.keypoints, references, aspect))
        tokens_seen = memory, memory_text, tokens.logits, grid.valid, tokens.chosen
        return Stages(*tokens_seen, index, classes, hidden, entered, normed, output, first, guessed, answer)

    def _group_references(self, boxes: Tensor, seeds: Tensor, first: First | None = None) -> Tensor:
        """First references of every group, [B, G, 1 + K, 4], from its box [B, G, 4] and keypoint seeds [B, G, K, D]."""
        centre, extent = boxes.unsqueeze(2).split(2, -1)
        if first is not None:
            points = first.points.detach()
        elif self.config.first_offset == "image":
            points = torch.sigmoid(inverse_sigmoid(centre) + self.pose_embed(seeds))
        else:
            points = centre + extent * (torch.sigmoid(self.pose_embed(seeds)) - 0.5)
        sizes = torch.sigmoid(self.decoder.keypoint_size[: seeds.shape[2]]) * extent
        return torch.cat((boxes.unsqueeze(2), torch.cat((points, sizes), -1)), 2)

    def _refine_group(self, hidden: Tensor, references: Tensor, answer: Answering = UNGUESSED) -> Tensor:
        box, points = hidden[:, :, :1], hidden[:, :, 1:]
        logit = inverse_sigmoid(references)
        places = self._moved(points, references[:, :, 1:, :2], answer)
        sizes = torch.sigmoid(self.pose_hw_embed(points) + logit[:, :, 1:, 2:])
        return torch.cat((torch.sigmoid(self.bbox_embed(box) + logit[:, :, :1]), torch.cat((places, sizes), -1)), 2)

    def _moved(self, hidden: Tensor, points: Tensor, answer: Answering) -> Tensor:
        """Where keypoints at [B, G, K, 2] are moved: after a first guess by parts of how far that may be off."""
        if answer.unit is None:
            return torch.sigmoid(self.pose_embed(hidden) + inverse_sigmoid(points))
        return points + answer.unit * self.pose_embed(hidden)

    def _answer(
        self, hidden: Tensor, references: Tensor, memory_text: Tensor, answer: Answering = UNGUESSED
    ) -> XPoseOutput:
        box, points = hidden[:, :, 0], hidden[:, :, 1:]
        logits = self._logits(box, memory_text)
        if answer.entering is not None and self.decided is not None:
            logits = answer.entering + answer.may * self.decided[1] * logits
        return XPoseOutput(
            logits,
            torch.sigmoid(self.bbox_embed(box) + inverse_sigmoid(references[:, :, 0])),
            self._moved(points, references[:, :, 1:, :2], answer),
        )

    def _supervise(self, stages: Stages, tokens: Tokens, boxes: Boxes, grid: Grid, denoise: Denoising | None) -> None:
        """Fill in what every layer would answer, computed exactly as inference uses it."""
        text = stages.memory_text.transpose(1, 2)
        stages.token_boxes = torch.sigmoid(self.enc_out_bbox_embed(tokens.hidden) + grid.proposals)
        stages.proposals = Layer(tokens.logits_entering, tokens.boxes)
        stages.box_layers = [
            Layer(self._box_logits(hidden, stages.memory_text, tokens), box)
            for hidden, box in zip(boxes.hidden, boxes.references[1:], strict=True)
        ]
        first = self.config.box_decoder_layers
        for hidden, references in zip(stages.hidden[first:-1], stages.references[first:-1], strict=True):
            answered = self._answer(hidden, references, stages.memory_text, stages.answer)
            stages.keypoint_layers.append(Layer(*answered[:3]))
        stages.keypoint_layers.append(Layer(*stages.output[:3]))
        if stages.first is not None:
            logits = take(stages.box_layers[-1].logits, stages.group_index)
            stages.keypoint_layers.insert(0, Layer(logits, stages.references[first][:, :, 0], stages.first.points))
        if denoise is not None:
            content = take(stages.memory_text, denoise.classes)
            restored = self._refine_boxes(content, denoise.boxes, stages.memory, stages.memory_text, grid, denoise.mask)
            stages.denoised = [
                Layer(hidden @ text, box) for hidden, box in zip(restored.hidden, restored.references[1:], strict=True)
            ]


def best(boxes: Layer, groups: int) -> tuple[Tensor, Tensor]:
    """The queries surest of any class, best first, as the class they are surest of: [B, G] each."""
    index = boxes.logits.amax(-1).topk(groups, sorted=True).indices
    return index, take(boxes.logits, index).argmax(-1)


def project(channels: int, dim: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A backbone map to the hidden width."""
    return nn.Sequential(nn.Conv2d(channels, dim, kernel, stride=stride, padding=kernel // 2), nn.GroupNorm(32, dim))


def group_keypoints(seeds: Tensor, keypoint_mask: Tensor | None, classes: Tensor) -> tuple[Tensor, Tensor | None]:
    """Keypoint seeds [B, G, K, D] of every group's class, and which of its tokens it may attend to.

    `seeds` [K, D], [C, K, D] or [B, C, K, D]; `keypoint_mask` [C, K]; `classes` [B, G]. The mask is
    [B * G, 1, 1, 1 + K], or None when all keypoints are real.
    """
    batch, groups = classes.shape
    if seeds.dim() == 2:
        return seeds.expand(batch, groups, -1, -1), None
    seeds = seeds.expand(batch, -1, -1, -1)
    chosen = take(seeds.flatten(2), classes).view(batch, groups, *seeds.shape[2:])
    if keypoint_mask is None:
        return chosen, None
    real = keypoint_mask[classes.flatten()]
    return chosen, torch.cat((torch.ones_like(real[:, :1]), real), 1)[:, None, None]
