"""What is told of an address, and what a camera is called after it."""

from __future__ import annotations

import string
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpose_stream.stream.sources import SourceError, open_source, redact
from xpose_stream.stream.sources.address import camera_name, fill


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


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("rtsp://joe:pa#ss/1@host/live", "rtsp://joe:pa%23ss%2F1@host/live"),
        ("rtsp://joe:p@ss@host:554/live?a=1#x", "rtsp://joe:p%40ss@host:554/live?a=1#x"),
        ("rtsp://joe:a:b@host/live", "rtsp://joe:a%3Ab@host/live"),
        ("rtsp://joe:50%@host/live", "rtsp://joe:50%25@host/live"),
        ("rtsp://joe:a%2Fb@host/live", "rtsp://joe:a%2Fb@host/live"),  # escaped already
        ("rtsp://joe:what?no@host/live", "rtsp://joe:what%3Fno@host/live"),
        ("http://joe:ü ß@host/live", "http://joe:%C3%BC%20%C3%9F@host/live"),
        ("http://joe@host/live", "http://joe@host/live"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://joe:pw@[fe80::1]:8080/a@b", "http://joe:pw@[fe80::1]:8080/a@b"),
        ("http://joe:pw@10.0.0.5/a@b", "http://joe:pw@10.0.0.5/a@b"),
        ("http://host:8080/v?mail=a%40b", "http://host:8080/v?mail=a%40b"),
    ],
)
def test_a_password_may_hold_what_ends_one_in_a_url(given: str, meant: str) -> None:
    assert fill(given) == meant


PASSWORD = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1)


@given(PASSWORD)
def test_a_password_arrives_as_it_is_or_it_is_said_how_to_write_it(password: str) -> None:
    try:
        meant = urlsplit(fill(f"rtsp://joe:{password}@camera.lan:554/live"))
    except SourceError as error:
        assert "%2F for a /" in str(error) and "camera.lan" in str(error)
        assert set("/?#") & set(password)
        return
    assert meant.hostname == "camera.lan" and meant.port == 554 and meant.path == "/live"
    assert unquote(meant.password or "") == unquote(password)


@pytest.mark.parametrize("url", ["rtsp://joe:p@x/y@host/live", "rtsp://joe:12/34@host/live", "http://a@b/c@d"])
def test_where_a_password_ends_is_asked_where_nobody_can_tell(url: str) -> None:
    with pytest.raises(SourceError, match="it cannot be told where the password ends: write %2F for a /"):
        fill(url)


@pytest.mark.parametrize("url", ["rtsp://", "rtsp:///live", "http://[::1/x", "http://:80/", "rtsp://joe:secret/live",
                                 "http://h:99999/", "rtsp://joe:secret@/live"])  # fmt: skip
def test_an_address_without_a_host_is_told_without_its_password(url: str) -> None:
    with pytest.raises(SourceError, match="an address is written as") as told:
        fill(url)
    assert "secret" not in str(told.value)
    assert camera_name(url)


@pytest.mark.parametrize(
    "bare", ["192.168.1.10", "10.0.0.7:554/stream", "cam.local/video", "localhost:8080/x", "rtsp:/door", "rtsp//door",
             "www.example.org/live", "door:554/live", "joe:s3cret@10.0.0.7/live", "joe:s3cret@door:554"],
)  # fmt: skip
def test_an_address_without_its_beginning_is_told_and_its_password_is_not(bare: str) -> None:
    with pytest.raises(SourceError, match="the address of a camera begins with rtsp:// or http://") as told:
        open_source(bare)
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("path", ["clip.mp4", "a/b.mp4", "my.videos/x", "1.5.mp4", "http.mp4", "c:/clip.mp4"])
def test_a_path_that_is_none_is_no_address(path: str) -> None:
    with pytest.raises(SourceError) as told:
        open_source(path)
    assert str(told.value) == f"there is no file or folder {path}"


@pytest.mark.parametrize("path", ["shots/%04d.jpg", "shots/%d.jpg", "shots/{1,2}.jpg", "shots/{1..9}.jpg"])
def test_other_programs_patterns_are_answered_with_ours(path: str) -> None:
    with pytest.raises(SourceError, match=r'several images are given as "shots/\*\.jpg"$'):
        open_source(path)


def test_what_ffmpeg_alone_reads_is_led_in() -> None:
    for address in "udp://@239.0.0.1:1234", "srt://joe:s3cret@host:1", "rtmp://host/live":
        with pytest.raises(SourceError, match=r"are read: lead it in \(ffmpeg") as told:
            open_source(address)
        assert "s3cret" not in str(told.value)
