"""Commands that train and measure weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpose_stream.options import Clip, given, weights_to_write

app = typer.Typer()


@app.command()
def train(
    data: Annotated[list[str], typer.Option(help="Folder of a bank, or FILE.json[=FOLDER] in COCO's format; repeat.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    test: Annotated[list[str] | None, typer.Option(help="Held-out data, for validation; repeat to mix.")] = None,
    images: Annotated[int, typer.Option(help="Images to train on, all processes together.", min=1)] = 200_000,
    batch: Annotated[int, typer.Option(help="Images per step and process.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 1,
    rate: Annotated[float, typer.Option(help="Highest learning rate.", min=0.0)] = 1.2e-3,
    without: Annotated[list[str] | None, typer.Option(help="Category to leave out; repeat.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Fine-tune these, published or ours.")] = None,
    clip: Clip = None,
    problems: Annotated[str, typer.Option(help="Malformed annotations: skip or refuse.")] = "skip",
    empty: Annotated[bool, typer.Option("--empty", help="Train on pictures without instances too.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from last.pt, if it is there.")] = False,
    save_every: Annotated[float, typer.Option(help="Seconds between two saved states.", min=0.0)] = 180.0,
    export: Annotated[
        Path | None,
        typer.Option(help="Only write the averaged model of last.pt to this file.", callback=weights_to_write),
    ] = None,
) -> None:
    """Train on banks and annotated pictures.

    On N processes: `torchrun --nproc-per-node N -m xpose_stream.run_stream train`.
    """
    import xpose_stream.training.learning.train as training
    from xpose_stream.training.learning.trainer import Recipe

    if problems not in ("skip", "refuse"):
        raise typer.BadParameter(f"--problems is {problems!r}; it must be skip or refuse")
    order = training.Order(
        data=data,
        out=out,
        recipe=Recipe(images=images, batch=batch, seed=seed, rate=rate),
        test=tuple(test or ()),
        without=tuple(without or ()),
        weights=weights,
        clip=clip,
        problems="refuse" if problems == "refuse" else "skip",
        empty=empty,
        resume=resume,
        save_every=save_every,
    )
    if export is not None:
        training.export(order, export)
    else:
        training.train(order)


@app.command(name="eval")
def evaluate(
    context: typer.Context,
    data: Annotated[list[str], typer.Option(help="Folder of a bank, or FILE.json[=FOLDER] in COCO's format; repeat.")],
    weights: Annotated[Path | None, typer.Option(help="Checkpoint.", show_default="xpose-eyes")] = None,
    out: Annotated[Path, typer.Option(help="Folder of eval.json, predictions.json and the plot.")] = Path("out/eval"),
    kinds: Annotated[
        str,
        typer.Option(help="Ways to prompt, of words, reworded, alone, example, both and nearest.", show_default="all"),
    ] = "words,reworded,alone,example,both,nearest",
    support: Annotated[list[str] | None, typer.Option(help="Data that examples are taken from.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="Category to leave out; repeat.")] = None,
    pictures: Annotated[int | None, typer.Option(help="Only the first so many pictures.", min=1)] = None,
    shots: Annotated[int, typer.Option(help="Examples per category.", min=1)] = 1,
    draws: Annotated[int, typer.Option(help="Choices of examples to take the mean of.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    clip: Clip = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Judge the confidence that published weights get instead.")
    ] = False,
    mp100: Annotated[bool, typer.Option("--mp100", help="MP-100's few-shot protocol, each --data a split.")] = False,
    episodes: Annotated[int, typer.Option(help="Of MP-100's protocol, per category.", min=1)] = 200,
    queries: Annotated[int, typer.Option(help="Of MP-100's protocol, per episode.", min=1)] = 15,
) -> None:
    """Measure weights on held-out data: AP, PCK, confidence, false positives, per category and way to prompt."""
    from xpose_stream.engines import DEFAULT
    from xpose_stream.training.exam import exam

    idle = {"episodes", "queries"}
    if mp100:
        idle = {"support", "pictures", "kinds", "draws", "clip", "estimate"}
    for name, option in given(context).items():
        if name in idle:
            raise typer.BadParameter(f"{option} has no effect {'with' if mp100 else 'without'} --mp100; leave it out")
    names = [name.strip() for name in kinds.split(",")]
    order = exam.Order(
        weights=weights or DEFAULT,
        data=data,
        out=out,
        kinds=names,
        support=tuple(support or ()),
        without=tuple(without or ()),
        pictures=pictures,
        shots=shots,
        draws=draws,
        seed=seed,
        clip=clip,
        estimate=estimate,
    )
    if mp100:
        exam.evaluate_few_shot(order, episodes, queries)
    else:
        exam.evaluate(order)


@app.command()
def calibrate(
    out: Annotated[Path, typer.Argument(help="Weights to write (.safetensors).", callback=weights_to_write)],
    weights: Annotated[Path, typer.Option(help="Checkpoint of ours, trained.")],
    data: Annotated[list[str], typer.Option(help="What to learn from: bank or annotations, as of train; repeat.")],
    test: Annotated[list[str], typer.Option(help="Held-out data that scores and sigmas are scaled on; repeat.")],
    tracker: Annotated[
        Path | None, typer.Option(help="Settings of `tune` that the weights are to bring.", show_default="theirs")
    ] = None,
    boost: Annotated[float, typer.Option(help="Added to the logit of everything that words find.")] = 0.0,
    clip: Clip = None,
) -> None:
    """Teach weights how sure they are of each keypoint, on pictures that they were not trained on."""
    from xpose_stream.training.exam import calibrate as calibration

    settings = calibration.tracker_settings(tracker) if tracker else None
    calibration.calibrate(calibration.Order(weights, data, test, out, clip, settings, boost))
