"""The command line as a user meets it: what it writes, how it fails, how it ends."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import zmq

import run_stream
import xpose_stream
from tests.engines.recipe import published_file
from xpose_stream.engines import DEFAULT
from xpose_stream.engines.prompts.bank import SKELETONS, PromptBank, Skeleton
from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.sinks.messages import TracksMessage

ROOT = Path(__file__).parents[1]
CROSSING = ROOT / "configs" / "demo" / "crossing.mp4"


def call(*arguments: object) -> None:
    """`python run_stream.py ARGUMENTS` in this process; raises SystemExit when it fails."""
    sys.argv = ["run_stream.py", *map(str, arguments)]
    try:
        run_stream.main()
    except SystemExit as exit_:
        if exit_.code:
            raise


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "run_stream.py"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(autouse=True)
def restore_process(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(sys, "argv", sys.argv)
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first second of the demo clip, copied without decoding."""
    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    with av.open(str(CROSSING)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is None or packet.pts * packet.time_base >= 1:
                break
            packet.stream = stream
            copy.mux(packet)
    return path


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_run_records_and_draws_every_frame(short_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    call("run", "--source", short_clip, "--record", tmp_path / "t.parquet", "--overlay", tmp_path / "o.mp4")
    rows = pq.read_table(tmp_path / "t.parquet")
    assert sorted(set(rows["frame"].to_pylist())) == list(range(30))
    assert rows["track_id"].drop_null().length() > 0
    made = json.loads(pq.read_metadata(tmp_path / "t.parquet").metadata[b"made"])
    assert made["source"] == str(short_clip) and len(made["weights_sha256"]) == 64
    assert made["program"].startswith("xpose-stream") and made["weights"] == DEFAULT.name
    assert frames_in(tmp_path / "o.mp4") == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.mp4", "t.parquet"]
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert end["event"] == "end" and end["cameras"]["short"]["frames"]["published"] == 30


def test_a_checkpoint_in_the_published_layout_streams_with_a_saved_prompt_bank(tmp_path: Path) -> None:
    weights = published_file(tmp_path / "published.pth", "tiny", seed=3)
    person = Skeleton.load(SKELETONS / "person.yaml")
    torch.manual_seed(0)
    bank = PromptBank(
        "person",
        1,
        (person,),
        torch.randn(1, 512),
        torch.randn(1, 17, 512),
        torch.ones(1, 17, dtype=torch.bool),
        "random",
        "none",
    )
    bank.save(tmp_path / "person.safetensors")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(2):
        cv2.imwrite(str(pictures / f"{number}.png"), np.full((96, 128, 3), 60 * number, np.uint8))
    call(
        *("run", "--source", pictures, "--weights", weights, "--prompt", tmp_path / "person.safetensors"),
        *("--engine", "eager", "--record", tmp_path / "t.parquet", "--overlay", tmp_path / "o.mp4"),
    )
    assert set(pq.read_table(tmp_path / "t.parquet")["frame"].to_pylist()) == {0, 1}
    assert frames_in(tmp_path / "o.mp4") == 2


def test_a_source_alone_is_run(short_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    call(short_clip, "--record", tmp_path / "a.parquet")
    call("run", "--source", short_clip, "--record", tmp_path / "b.parquet")
    first, second = (pq.read_table(tmp_path / f"{name}.parquet").drop(["published_at", "latency_ms"]) for name in "ab")
    assert first.equals(second)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [(("--prompt", "unicorn"), "unicorn"), (("--record", "none/{camera}.parquet"), "the folder none does not exist"),
     (("--weights", "none.pth"), "no checkpoint file none.pth")],
)  # fmt: skip
def test_what_is_wrong_for_all_of_several_files_is_told_once(
    wrong: tuple[str, str], told: str, short_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    other = shutil.copy(short_clip, tmp_path / "other.mp4")
    with pytest.raises(SystemExit):
        call("run", short_clip, other, "--no-page", *wrong)
    error = capsys.readouterr().err
    assert error.count("error:") == 1 and told in error


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_run(
    short_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "bad.mp4").write_bytes(bytes(5000))
    with pytest.raises(SystemExit):
        call("run", tmp_path / "bad.mp4", short_clip, "--no-page", "--record", tmp_path / "{camera}.parquet")
    assert "bad.mp4 is not a video" in capsys.readouterr().err
    assert pq.read_metadata(tmp_path / f"{short_clip.stem}.parquet").num_rows > 0


def test_a_word_of_other_programs_leads_to_ours(capsys: pytest.CaptureFixture) -> None:
    for word, meant in (("predict", "run"), ("dmeo", "demo"), ("subscribe", "listen")):
        with pytest.raises(SystemExit) as exit_:
            call(word)
        assert exit_.value.code == 2 and f"Did you mean '{meant}'?" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture) -> None:
    call("--version")
    assert capsys.readouterr().out == f"xpose-stream {xpose_stream.__version__}\n"


@pytest.mark.parametrize(
    "given",
    [["run"], ["run", "a.mp4", "--record", "/no/folder/t.parquet"], ["run", "a.mp4", "--site", "s.yaml"], ["--help"]],
)
def test_arguments_are_checked_before_torch_is_imported(given: list[str]) -> None:
    program = f"import sys; sys.modules['torch'] = None; sys.argv[1:] = {given!r}; import run_stream; run_stream.main()"
    answered = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" not in answered.stderr and answered.stdout + answered.stderr


def test_a_folder_that_is_gone_around_a_command_is_told(tmp_path: Path) -> None:
    program = f"import os, sys; os.chdir({str(tmp_path)!r}); os.rmdir({str(tmp_path)!r}); sys.path[0] = {str(ROOT)!r}"
    program += "; sys.argv[1:] = ['run', 'a.mp4']; import run_stream; run_stream.main()"
    answered = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert answered.returncode == 1
    assert answered.stderr == "error: the folder in which this was started is gone; change into another (cd)\n"


def text_file(folder: Path, name: str) -> Path:
    (folder / name).write_text("this is no such thing\n")
    return folder / name


MISTAKES: dict[str, tuple[Callable[[Path], list[object]], str]] = {
    "missing file": (lambda folder: ["--source", folder / "gone.mp4"], "gone.mp4"),
    "refused camera": (lambda folder: ["--source", "rtsp://user:secret@127.0.0.1:1/cam"], "127.0.0.1:1"),
    "no video": (lambda folder: ["--source", text_file(folder, "notes.mp4")], "notes.mp4"),
    "wrong checkpoint": (
        lambda folder: ["--source", CROSSING, "--weights", text_file(folder, "weights.pth")],
        "weights.pth",
    ),
    "missing checkpoint": (lambda folder: ["--source", CROSSING, "--weights", folder / "gone.pth"], "gone.pth"),
    "unknown prompt": (lambda folder: ["--source", CROSSING, "--prompt", "xylophone"], "xylophone"),
    "a table for a recording": (
        lambda folder: ["--source", CROSSING, "--record", folder / "old.csv"],
        "outputs.record: must end in .parquet or .mcap",
    ),
    "no folder for the overlay": (
        lambda folder: ["--source", CROSSING, "--record", folder / "t.parquet", "--overlay", folder / "no" / "o.mp4"],
        "o.mp4",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_sentence_and_leaves_nothing_behind(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments, named = MISTAKES[mistake]
    given = arguments(tmp_path)
    before = sorted(tmp_path.iterdir())
    if "--record" not in given:
        given += ["--record", tmp_path / "r.parquet", "--overlay", tmp_path / "r.mp4"]
    with pytest.raises(SystemExit) as exit_:
        call("run", *given)
    told = re.sub(r"live page: \S+\n", "", capsys.readouterr().err).strip()
    assert exit_.value.code == 1
    assert told.startswith("error: ") and named in told and len(told.splitlines()) == 1
    assert "secret" not in told and "Traceback" not in told
    assert sorted(tmp_path.iterdir()) == before


WRONG: dict[str, tuple[list[object], str]] = {
    "no time": (["listen", "tcp://127.0.0.1:9", "--quiet", "nan"], "nan s is no time to wait"),
    "a folder": (["smooth", "."], "is a directory"),
    "no smoothing": (["smooth", "t.parquet", "--tracker", "raw"], "raw smoothes nothing"),
    "no weights": (["prompts", "build", "w.pth", "person"], "w.pth must end in .safetensors"),
    "no effect": (["eval", "--data", "d", "--mp100", "--kinds", "words"], "--kinds has no effect with --mp100"),
    "no effect without": (["eval", "--data", "d", "--episodes", "3"], "--episodes has no effect without --mp100"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_call_is_told_before_anything_is_done(wrong: str, capsys: pytest.CaptureFixture) -> None:
    given, said = WRONG[wrong]
    with pytest.raises(SystemExit) as exit_:
        call(*given)
    assert exit_.value.code == 2 and said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("given", [["--rotate", "1h"], ["--record-detections"], ["--keys", "k"], ["--open"]])
def test_an_option_of_an_output_that_is_not_asked_for_is_told(given: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_:
        call("run", "a.mp4", *given)
    assert exit_.value.code == 1 and f"error: {given[0]} has no effect without" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["prompts", "build"], ["calibrate", "--data", "d", "--test", "d", "--weights", "w"]])
def test_weights_are_not_overwritten(given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    kept = tmp_path / "w.safetensors"
    kept.write_text("kept")
    with pytest.raises(SystemExit) as exit_:
        call(*given, kept, *(["person"] if given[0] == "prompts" else []))
    assert exit_.value.code == 1 and "exists already" in capsys.readouterr().err
    assert kept.read_text() == "kept"


def test_a_wrong_call_is_told_without_its_password(capsys: pytest.CaptureFixture) -> None:
    wrong = {"listen": "rtsp://joe:s3cret@cam/x", "doctor": "rtsp://joe:s3'c r\\et@cam/x?token=s3_c"}
    for command, address in wrong.items():
        with pytest.raises(SystemExit) as exit_:
            call(command, "a.mp4", address)
        told = capsys.readouterr().err
        assert exit_.value.code == 2 and "Usage: " in told and "(rtsp://cam/x" in told
        assert "s3" not in told and "joe" not in told


def test_what_a_site_file_says_is_not_to_be_said_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("cameras: [{source: gone.mp4}]")
    for call_ in (["run", "--record", "x"], ["run", "--realtime"], ["doctor", "a.mp4"], ["doctor", "--prompt", "x"]):
        with pytest.raises(SystemExit) as exit_:
            call(*call_, "--site", site)
        told = capsys.readouterr().err
        assert exit_.value.code == 1 and "beside --site would have no effect" in told and len(told.splitlines()) == 1


def test_an_endpoint_in_use_is_told_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        endpoint = f"tcp://127.0.0.1:{port}"
        with pytest.raises(SystemExit) as exit_:
            call("run", "--source", CROSSING, "--publish", endpoint, "--record", tmp_path / "r.parquet")
    told = capsys.readouterr().err.strip()
    assert exit_.value.code == 1 and endpoint in told and len(told.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def run_until_published(tmp_path: Path, messages: int = 40, seconds: float = 0) -> subprocess.Popen[str]:
    """A run on the demo clip, from which `messages` messages have been received, and for so many seconds."""
    endpoint = f"ipc://{tmp_path}/tracks.sock"
    process = start(
        *("run", "--source", CROSSING, "--realtime", "--publish", endpoint),  # 24 s on any machine
        *("--record", tmp_path / "t.parquet", "--overlay", tmp_path / "o.mp4"),
    )
    stream = Subscriber(endpoint, quiet=60)
    began = None
    for number, _message in enumerate(stream, 1):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        began = began or time.monotonic()
        if number >= messages and time.monotonic() - began >= seconds:
            break
    stream.close()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_readable_files(number: signal.Signals, tmp_path: Path) -> None:
    process = run_until_published(tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)  # two seconds on an idle machine
    assert process.returncode == 0 and "Traceback" not in err
    assert json.loads(out.splitlines()[-1])["event"] == "end"
    recorded = set(pq.read_table(tmp_path / "t.parquet")["frame"].to_pylist())
    assert len(recorded) >= 40
    assert frames_in(tmp_path / "o.mp4") == len(recorded)


def test_after_kill_9_what_was_flushed_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    process = run_until_published(tmp_path, seconds=8)  # flushed is what is a second old
    process.kill()
    process.wait()
    assert frames_in(tmp_path / "o.mp4") >= 5
    assert not (tmp_path / "t.parquet").exists()
    call("recover", tmp_path / "t.parquet")
    assert len(set(pq.read_table(tmp_path / "t.parquet")["frame"].to_pylist())) >= 5


def test_a_subscriber_in_another_process_receives_every_published_message(tmp_path: Path, short_clip: Path) -> None:
    from xpose_stream.stream.session import Session
    from xpose_stream.stream.site import Site

    endpoint = f"ipc://{tmp_path}/tracks.sock"
    subscriber = start("listen", endpoint, "--json")
    published: list[TracksMessage] = []
    session = Session(Site.of(str(short_clip), publish=endpoint, backend="eager"), wait_for_subscriber=60)
    session.run(lambda frame, message: published.append(message))
    assert subscriber.stdout
    received = [msgspec.json.decode(subscriber.stdout.readline(), type=TracksMessage) for _ in range(30)]
    subscriber.kill()
    subscriber.communicate()
    assert len(published) == 30
    assert received == published


def test_engines_are_built_ahead_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    call("engine", "build", "--size", "640x480")
    assert capsys.readouterr().out == "openvino is ready for 640x480, batch 1, 'person'\n"
    call("engine", "list")
    assert "openvino" in capsys.readouterr().out


def test_an_engine_that_cannot_run_here_is_one_sentence(short_clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call("run", "--source", short_clip, "--engine", "openvino", "--precision", "float16")
    assert capsys.readouterr().err == "error: OpenVINO runs in float32 here, not in float16.\n"
def test_a_prompt_bank_is_built_shown_and_streamed_with(
    tmp_path: Path, short_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "human.yaml").write_text("skeleton: person")
    bank = tmp_path / "bank.safetensors"
    call("prompts", "build", bank, tmp_path / "human.yaml")
    call("prompts", "show", bank)
    said = capsys.readouterr().out
    assert "person, version 1" in said and "left_ankle" in said and "right_ankle" in said
    call("run", "--source", short_clip, "--prompt", bank, "--record", tmp_path / "tracks.parquet")
    assert pq.read_table(tmp_path / "tracks.parquet").num_rows > 0


def test_a_prompt_file_and_the_bank_built_of_it_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 50, 3), np.uint8))
    example = "[{image: a.png, box: [1, 1, 30, 30], keypoints: {nose: [5, 5]}}]"
    (tmp_path / "p.yaml").write_text(f"skeleton: person\nwords: false\nexamples: {example}")
    call("prompts", "show", tmp_path / "p.yaml")
    assert "person, given in examples (1 examples)" in capsys.readouterr().out
    call("prompts", "build", tmp_path / "bank.safetensors", tmp_path / "p.yaml")
    call("prompts", "show", tmp_path / "bank.safetensors")
    assert "from examples of weights" in capsys.readouterr().out


def test_a_stream_in_json_with_keys_is_told_to_who_is_let_in(short_clip: Path, tmp_path: Path) -> None:
    keys, robot, endpoint = tmp_path / "keys", tmp_path / "robot", f"ipc://{tmp_path}/tracks"
    call("keys", "new", "server", "--out", keys)
    call("keys", "new", "robot", "--out", robot)
    shutil.copy(robot / "robot.key", keys / "allowed")
    shutil.copy(keys / "server.key", robot)
    received: list[TracksMessage] = []
    stream = Subscriber(endpoint, key=robot / "robot.key_secret", quiet=300)
    listening = threading.Thread(target=lambda: received.append(next(stream)))
    listening.start()
    record, how = tmp_path / "t.mcap", ["--format", "json", "--keys", keys, "--engine", "eager"]
    call("run", short_clip, "--publish", endpoint, *how, "--record", record)
    listening.join()
    assert received[0].camera == "short"
    assert record.read_bytes().startswith(b"\x89MCAP")
