import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.training import coco_files
from xpose_stream.engines.checkpoint import load
from xpose_stream.training.data.dataset import DataError
from xpose_stream.training.learning.curve import read
from xpose_stream.training.learning.train import Order, Run
from xpose_stream.training.learning.trainer import Recipe

ROOT = Path(__file__).parents[3]


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

    exported = tmp_path / "exported.safetensors"
    subprocess.run(command(stick_bank, out, "--export", str(exported)), check=True, capture_output=True)
    assert load(exported).provenance["recipe"] == checkpoint.provenance["recipe"], "what was trained, not the defaults"


def test_a_training_that_was_killed_goes_on_with_the_same_curve(stick_bank, tmp_path):
    """Two runs to the same number of images, one of them killed on the way: the same losses to the last saved state."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ["--images", "40", "--seed", "3", "--save-every", "0"]
    subprocess.run(command(stick_bank, whole, *options), check=True, capture_output=True)
    with subprocess.Popen(command(stick_bank, killed, *options), stdout=subprocess.DEVNULL) as running:
        while not (killed / "last.pt").exists() or len(read(killed / "curve.csv")) < 4:
            assert running.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
        running.kill()
    assert read(killed / "curve.csv")[-1]["images"] < 40
    subprocess.run(command(stick_bank, killed, *options, "--resume"), check=True, capture_output=True)
    expected, got = read(whole / "curve.csv"), read(killed / "curve.csv")
    assert [row["images"] for row in got] == [row["images"] for row in expected]
    for a, b in zip(expected, got, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=0.05)


def test_two_processes_train_one_model(stick_bank, tmp_path):
    out = tmp_path / "two"
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run = command(stick_bank, out, "--images", "16")
    subprocess.run([*start, *run[1:]], check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert read(out / "curve.csv")[-1]["images"] == 16
    checkpoint = load(out / "xpose.safetensors")
    assert checkpoint.provenance["processes"] == 2
    assert checkpoint.model.visual is not None and checkpoint.model.confidence is not None


def test_malformed_annotations_are_told_or_refused(tmp_path):
    path = coco_files.mp100(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [1, 2, 0, 0]
    path.write_text(json.dumps(content))
    refused = subprocess.run(command(path, tmp_path / "out", "--problems", "refuse"), capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr == f"error: {path}: annotation 1 has an empty box.\n"
    said = subprocess.run(command(path, tmp_path / "out", "--images", "2"), capture_output=True, text=True, check=True)
    assert "1 entries were left out: 1 x has an empty box" in said.stdout
    assert load(tmp_path / "out" / "xpose.safetensors").provenance["categories"] == ["fork", "sofa_body"]


def test_a_file_is_no_folder_of_results(stick_bank, tmp_path):
    (tmp_path / "README.md").touch()
    run = Run(Order([str(stick_bank)], tmp_path / "README.md", Recipe(images=2)), torch.device("cpu"))
    with pytest.raises(DataError, match=r"README\.md cannot be the folder of results"):
        run.begin()


def test_our_weights_are_fine_tuned_with_new_categories(tmp_path):
    path = coco_files.mp100(tmp_path)
    nano = ROOT / "configs" / "models" / "xpose-nano.safetensors"
    options = ["--images", "2", "--weights", str(nano), "--rate", "0"]
    subprocess.run(command(path, tmp_path / "out", *options), check=True, capture_output=True)
    before, after = load(nano), load(tmp_path / "out" / "xpose.safetensors")
    assert set(after.text_encoder.categories) >= {"person", "fork"}
    assert (after.model.config.score, after.model.config.overlap) == ("image", 0.5)
    same = after.model.state_dict()
    assert all(
        torch.allclose(tensor, same[name])
        for name, tensor in before.model.state_dict().items()
        if "running" not in name and "tracked" not in name
    )
    with torch.no_grad():
        torch.testing.assert_close(after.text_encoder(["left knee"]), before.text_encoder(["left knee"]))
