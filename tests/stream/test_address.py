"""What is told of an address, and what a camera is called after it."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources import redact
from stream.sources.address import camera_name


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=6))
def test_no_password_survives_redaction_even_with_characters_that_belong_to_urls(password: str) -> None:
    assert redact(f"rtsp://admin:{password}@10.0.0.5:554/live") == "rtsp://10.0.0.5:554/live"


NAMES = ("user", "login", "loginpas", "password", "pass", "passwd", "pwd", "pw", "psw", "access_token", "jwt", "apikey")
LETTERS = string.ascii_letters + string.digits + "_/+-.~:!$'()*,;"
BASE64 = st.builds(str.__add__, st.text(LETTERS, min_size=1), st.sampled_from(["", "=", "=="]))


@given(st.sampled_from(NAMES), st.text(LETTERS + "=?#", min_size=1))
def test_no_part_of_a_secret_survives_in_a_query(name: str, secret: str) -> None:
    assert redact(f"http://cam/v?x=1&{name}={secret}&y=2") == f"http://cam/v?x=1&{name}=***&y=2"
    assert redact(f"http://cam/v?{name}={secret}") == f"http://cam/v?{name}=***"


@given(st.sampled_from(NAMES), BASE64)
def test_no_part_of_a_secret_survives_in_a_path(name: str, secret: str) -> None:
    told = redact(f"rtsp://cam/{name}={secret}_channel=1_stream=0.sdp?real_stream")
    assert told == f"rtsp://cam/{name}=***_channel=1_stream=0.sdp?real_stream"
    told = redact(f"rtsp://cam/user=joe_{name}={secret}_channel=1.sdp")
    assert told in (f"rtsp://cam/user=***_{name}=***_channel=1.sdp", "rtsp://cam/user=***_token=***_channel=1.sdp",
                    "rtsp://cam/user=***_channel=1.sdp")  # fmt: skip
    assert redact(f"rtsp://cam/{name}={secret}") == f"rtsp://cam/{name}=***"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("rtsp://cam/live", "rtsp://cam/live"),
        ("http://cam/v?user=joe&password=pw&x=1", "http://cam/v?user=***&password=***&x=1"),
        ("rtsp://cam/user=admin_password=pw_channel=1.sdp", "rtsp://cam/user=***_password=***_channel=1.sdp"),
        ("rtsp://cam/password=my_secret_channel=1", "rtsp://cam/password=***_channel=1"),
        ("http://cam/v?token=abc_def", "http://cam/v?token=***"),
        ("/home/a@b/clip.mp4", "/home/a@b/clip.mp4"),
        ("--source=rtsp://joe:pw@cam/live", "--source=rtsp://cam/live"),
    ],
)
def test_what_is_told_of_an_address(address: str, told: str) -> None:
    assert redact(address) == told


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("rtsp://joe:pw@10.0.0.5:554/live", "10.0.0.5"),
        ("clips/two people.mp4", "two-people"),
        ("/dev/video0", "video0"),
        ("https://cams.example.org/yard.m3u8?key=1", "cams.example.org"),
    ],
)
def test_a_source_without_a_name_is_called_after_its_address(spec: str, name: str) -> None:
    assert camera_name(spec) == name
