import signal
import subprocess
import sys
import time
from pathlib import Path

from engines.checkpoint import load
from training.curve import read

ROOT = Path(__file__).parents[2]


def command(bank: Path, out: Path, *more: str) -> list[str]:
    options = ["--data", str(bank), "--test", str(bank), "--out", str(out), "--batch", "2", *more]
    return [sys.executable, str(ROOT / "run_stream.py"), "train", *options]


def test_a_training_is_stopped_resumed_and_ends_with_a_checkpoint(stick_bank, tmp_path):
    out = tmp_path / "nano"
    with subprocess.Popen(command(stick_bank, out, "--images", "100000"), stdout=subprocess.PIPE, text=True) as running:
        while not (out / "curve.csv").exists():  # written when the first step begins
            assert running.poll() is None
            time.sleep(0.1)
        time.sleep(1)
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=120)
    assert running.returncode == 0
    assert "--resume goes on" in said
    seen = read(out / "curve.csv")[-1]["images"]
    assert seen >= 2

    refused = subprocess.run(command(stick_bank, out), capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "add --resume" in refused.stderr

    goal = int(seen) + 4
    subprocess.run(command(stick_bank, out, "--images", str(goal), "--resume"), check=True, capture_output=True)
    rows = read(out / "curve.csv")
    assert [row["images"] for row in rows][-2:] == [seen, goal]
    assert 0 <= rows[-1]["PCK@0.1"] <= 1
    checkpoint = load(out / "xpose.safetensors")
    assert checkpoint.provenance["images"] == goal
    assert checkpoint.text_encoder is not None
    assert checkpoint.text_encoder(["person", "left knee"]).shape == (2, checkpoint.model.config.prompt_dim)
    assert (out / "curve.png").stat().st_size > 1000
    assert not list(out.glob("*.partial"))
