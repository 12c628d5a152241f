"""Commands about engines and prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpose_stream.options import Clip, Weights, weights_to_write

app = typer.Typer()
engine = typer.Typer(help="Build, list and measure engines.", no_args_is_help=True)
prompts = typer.Typer(help="Make and look at prompt banks.", no_args_is_help=True)
app.add_typer(engine, name="engine")
app.add_typer(prompts, name="prompts")

Size = Annotated[str, typer.Option(help="WIDTHxHEIGHT of the camera's frames.")]
Batch = Annotated[int, typer.Option(min=1, help="Frames at a time.")]


@engine.command("build")
def engine_build(
    weights: Weights = None,
    prompt: Annotated[str, typer.Option(help="As for run: the numbers of categories and keypoints matter.")] = "person",
    size: Size = "640x480",
    batch: Batch = 1,
    engine: Annotated[str, typer.Option(help="auto, openvino, inductor or tensorrt.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or float16.")] = "auto",
    clip: Clip = None,
) -> None:
    """Build an engine ahead, so that a stream need not wait; says whether it was admitted."""
    from xpose_stream.stream.build import build

    print(build(weights, prompt, size, batch, engine, precision, clip))


@engine.command("list")
def engine_list() -> None:
    """The engines in the cache."""
    from rich.console import Console

    from xpose_stream.engines.cache import EngineCache, table_of

    Console(markup=False).print(table_of(EngineCache()))


@engine.command("bench")
def engine_bench(
    weights: Weights = None,
    prompt: Annotated[str, typer.Option(help="As for run.")] = "person",
    size: Size = "640x480",
    batch: Batch = 1,
    engine: Annotated[list[str] | None, typer.Option(help="Only this one beside eager; again for more.")] = None,
    clip: Clip = None,
) -> None:
    """Measure the engines that run here, interleaved, on frames of the demo clip."""
    from rich.console import Console

    from xpose_stream.stream.build import measure

    Console().print(measure(weights, prompt, size, batch, engine or (), clip))


@prompts.command("build")
def prompts_build(
    out: Annotated[Path, typer.Argument(help="Prompt bank to write (.safetensors).", callback=weights_to_write)],
    prompt: Annotated[list[str], typer.Argument(help="Categories, or prompt files (.yaml) with words or examples.")],
    weights: Annotated[
        Path | None, typer.Option(help="The weights that will use the bank.", show_default="xpose-eyes")
    ] = None,
    clip: Clip = None,
) -> None:
    """Embed prompts once, so that a stream needs no text encoder: run it with `--prompt OUT`."""
    from xpose_stream.engines import DEFAULT, load
    from xpose_stream.engines.prompts.bank import bank_for
    from xpose_stream.engines.prompts.naming import read_prompts
    from xpose_stream.engines.trial import trials

    checkpoint = load(weights or DEFAULT)
    read = read_prompts(",".join(prompt), checkpoint.text_encoder)
    bank = bank_for(checkpoint, read, clip)
    bank.save(out)
    print(f"{out}: {bank.name}")
    for trial in trials(checkpoint, bank, read):
        print(trial)


@prompts.command("show")
def prompts_show(bank: Annotated[Path, typer.Argument(help="A prompt bank or a prompt file (.yaml).")]) -> None:
    """Print what a prompt holds: categories, keypoints, edges, sigmas, and what made it."""
    from xpose_stream.engines.prompts.bank import PromptBank
    from xpose_stream.engines.prompts.prompt import Prompt
    from xpose_stream.engines.prompts.table import print_bank, print_prompt

    if bank.suffix in (".yaml", ".yml"):
        print_prompt(Prompt.load(bank))
    else:
        print_bank(PromptBank.load(bank))
