"""Nobody gets anything who should not, and nothing that is sent does harm."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.stream.page.conftest import Live
from tests.stream.spot import write_spot_clip
from xpose_stream.stream.sinks.sink import SinkError

HOSTILE = 10_000
RECORDING = "hostile.parquet"
TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_spot_clip(tmp_path_factory.mktemp("clips") / "spot.mp4", 120, size=(160, 120)))


@pytest.fixture
def running(live: Callable, clip: str, tmp_path: Path) -> Iterator[Live]:
    (tmp_path / "recordings").mkdir()
    with live({"spot": clip}, pause=1 / 60, recordings=tmp_path / "recordings") as running:
        yield running


@pytest.fixture
def guarded(live: Callable, clip: str) -> Iterator[Live]:
    with live({"spot": clip}, pause=1 / 60, token=TOKEN) as running:
        yield running


def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; `headers` with _ for -."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def opens(port: int, **headers: str) -> bool:
    """Whether a WebSocket opens."""
    wanted = {name.replace("_", "-"): value for name, value in headers.items() if name != "Host"}
    try:
        with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=wanted) as socket:
            return json.loads(socket.recv(20))["type"] == "hello"
    except InvalidStatus:
        return False


def test_a_page_of_another_site_gets_nothing(running: Live) -> None:
    port = running.server.port
    own, foreign = f"http://127.0.0.1:{port}", "http://evil.example"
    assert get(port, "/")[0] == 200 and get(port, "/", Origin=own)[0] == 200
    for origin in (foreign, "null", "http://127.0.0.1:1", f"http://localhost:{port}", f"{own}.evil.example", "file://"):
        assert get(port, "/cameras", Origin=origin)[0] == 403
        assert not opens(port, Origin=origin)
    assert opens(port, Origin=own) and opens(port)
    assert get(port, "/cameras/spot.mjpeg", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="image")[0] == 403
    assert get(port, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document")[0] == 200


def test_a_name_that_is_not_ours_gets_nothing(running: Live) -> None:
    port = running.server.port
    for host in (f"localhost:{port}", "localhost", f"127.0.0.1:{port}", "[::1]:80"):
        assert get(port, "/", Host=host)[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "192.168.0.7", "", "a b", "@"):
        assert get(port, "/", Host=host)[0] in (400, 403), host
        assert get(port, "/healthz", Host=host)[0] in (400, 403), host


def test_answers_forbid_what_they_do_not_need(running: Live) -> None:
    _, headers, _ = get(running.server.port, "/")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff" and "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_paths_reach_nothing_but_what_the_package_serves(running: Live) -> None:
    port = running.server.port
    assert b"<title>xpose-stream" in get(port, "/static/index.html")[2]
    for path in (
        "/static/../guard.py", "/static/%2e%2e/guard.py", "/static/..%2fguard.py", "/static//etc/passwd",
        "/static/....//guard.py", "/static/\\..\\guard.py", "/../../../../etc/passwd", "/static/", "/static/x%00.js",
        "/cameras/..%2f..%2fetc%2fpasswd.jpg", "/cameras/none.jpg", "/cameras/none.mjpeg", "/etc/passwd",
    ):  # fmt: skip
        status, _, body = get(port, path)
        assert status in (400, 404) and b"root:" not in body and b"import" not in body, path
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert get(port, "/cameras", method)[0] == 405


def test_with_a_token_only_who_has_it_gets_anything(guarded: Live) -> None:
    port = guarded.server.port
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ä" * 28):
        query = wrong.encode("latin-1").hex() if not wrong.isascii() else wrong
        for path in ("/", "/static/main.js", "/cameras", "/cameras/spot.jpg"):
            assert get(port, f"{path}?token={query}")[0] == 401
        assert not opens(port, Cookie=f"xpose_{port}={query}")
    assert get(port, "/healthz")[0] == 200
    status, headers, _ = get(port, f"/?token={TOKEN}")
    assert status == 303 and headers["location"] == "/", "the token does not stay in the address"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    kept = cookie.split(";")[0]
    assert get(port, "/", Cookie=kept)[0] == 200 and opens(port, Cookie=kept)
    assert get(port, "/cameras", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert get(port, f"/cameras/spot.jpg?token={TOKEN}")[0] == 200
    assert not opens(port, Cookie=kept, Origin="http://evil.example")


def test_an_address_that_others_reach_has_a_token_of_its_own(live: Callable, clip: str) -> None:
    with live({"spot": clip}, address="0.0.0.0:0") as running:
        port, token = running.server.port, running.url.partition("?token=")[2]
        assert len(token) >= 32
        assert get(port, "/cameras")[0] == 401 and get(port, f"/cameras?token={token}")[0] == 200
        assert get(port, f"/cameras?token={token}", Host="evil.example")[0] == 403


def test_a_short_token_and_a_taken_port_are_one_sentence(live: Callable, clip: str) -> None:
    with pytest.raises(SinkError, match="needs 16 or more plain characters"), live({"spot": clip}, token="1234"):
        pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = rf"cannot serve the page at 127.0.0.1:{port}: Address already in use"
        with pytest.raises(SinkError, match=told), live({"spot": clip}, address=f"127.0.0.1:{port}"):
            pass
        with live({"spot": clip}, address=f"127.0.0.1:{port}", fixed=False) as running:
            assert port < running.server.port <= port + 100


def test_no_more_than_eight_look_at_once(running: Live) -> None:
    port = running.server.port
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(connect(f"ws://127.0.0.1:{port}/ws")).recv(20)
        with connect(f"ws://127.0.0.1:{port}/ws") as ninth, pytest.raises(ConnectionClosed, match="8 pages are open"):
            ninth.recv(20)
        assert get(port, "/cameras/spot.jpg")[0] == 503
    assert opens(port)


RIGHT: list[dict[str, Any]] = [
    {"do": "watch", "cameras": {"spot": 160}},
    {"do": "ask", "id": 1, "prompt": "person"},
    {"do": "freeze", "id": 2, "camera": "spot", "frame": 3, "keep": []},
    {"do": "picture", "id": 3, "camera": "spot", "frame": 3},
    {"do": "again", "id": 4, "version": 1},
    {"do": "try", "id": 5, "prompt": {
        "category": "x", "keypoints": ["a"], "edges": [],
        "examples": [{"camera": "spot", "frame": 3, "box": [1, 1, 9, 9], "keypoints": [[2, 2]]}],
    }},
    {"do": "record", "id": 6, "video": True},
    {"do": "stop", "id": 7},
    {"do": "recordings", "id": 8},
    {"do": "open", "id": 9, "recording": RECORDING},
    {"do": "moment", "id": 10, "recording": RECORDING, "camera": "spot", "time": 0.5, "step": 1, "width": 160},
    {"do": "curve", "id": 11, "recording": RECORDING, "camera": "", "track": 1, "keypoint": 0, "begin": 0, "end": 1},
    {"do": "export", "id": 12, "recording": RECORDING, "format": "csv"},
    {"do": "arrived", "camera": "spot", "frame": 1},
    {"do": "ping", "at": 0.0},
]  # fmt: skip
POISON: list[Any] = [
    None, True, -1, 2**70, 1e308, "", "../../etc/passwd", "/etc/passwd", "x" * 70_000, [], {}, [[[]]], "\x00",
    "person.yaml", "/etc/passwd.yaml", "bank.safetensors", "; rm -rf /", "{camera}", [None] * 9999, {"do": "ask"},
]  # fmt: skip


def spoilt(chance: random.Random, order: Any) -> Any:
    """An order with one of its values replaced, removed or added."""
    if isinstance(order, dict) and order:
        name = chance.choice(list(order))
        kind = chance.random()
        if kind < 0.15:
            return {key: value for key, value in order.items() if key != name}
        if kind < 0.3:
            return {**order, "file": "/etc/passwd"}
        return {**order, name: spoilt(chance, order[name])}
    if isinstance(order, list) and order and chance.random() < 0.5:
        return [spoilt(chance, order[0]), *order[1:]]
    return chance.choice(POISON)


def hostile(chance: random.Random) -> str | bytes:
    """A message that is malformed, or asks for what is not to be had."""
    kind = chance.random()
    if kind < 0.15:
        return chance.randbytes(chance.randrange(300))
    if kind < 0.25:
        return json.dumps(chance.choice(RIGHT))[: -chance.randrange(1, 20)]
    if kind < 0.3:
        return "[" * chance.randrange(1, 50_000)
    if kind < 0.31:
        return "x" * 300_000
    return json.dumps(spoilt(chance, chance.choice(RIGHT)))


def test_ten_thousand_hostile_messages_and_requests_do_no_harm(running: Live) -> None:
    port, chance = running.server.port, random.Random(17)
    record_one(running)
    folder = running.library.folder
    sent = connections = 0
    while sent < HOSTILE * 9 // 10:
        connections += 1
        with connect(f"ws://127.0.0.1:{port}/ws") as page, contextlib.suppress(ConnectionClosed):
            while sent < HOSTILE * 9 // 10:
                for _ in range(10):
                    page.send(hostile(chance))
                    sent += 1
                page.send('{"do": "ping", "at": 1.5}')
                while b"pong" not in heard(page):
                    pass
    for number in range(HOSTILE // 10):
        raw = chance.choice([
            chance.randbytes(chance.randrange(1, 2000)), b"GET " + b"/" * 5000 + b" HTTP/1.1\r\n\r\n", b"\r\n" * 100,
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\nx",
            b"GET /static/" + chance.randbytes(20).hex().encode() + b"/../../x HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /recordings/" + chance.choice([b"..%2f..%2fetc%2fpasswd/parquet", b"%00/csv", b"/../x"])
            + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ])  # fmt: skip
        assert raw_answer(port, raw).partition(b" ")[2][:3] not in (b"500", b"501"), (number, raw)
    assert connections > 100, "who sends what is no order is sent away"
    with connect(f"ws://127.0.0.1:{port}/ws") as again:
        assert json.loads(again.recv(20))["cameras"] == ["spot"]
        again.send(json.dumps({"do": "watch", "cameras": {"spot": 160}}))
        while not isinstance(again.recv(20), bytes):
            pass
    ledger = running.rig.camera("spot").ledger
    running.rig.wait(lambda: ledger.balanced, "balance")  # between two frames; at the end it is exact, says the rig
    assert not ledger.dropped, "and no frame was lost by it"
    ours = re.compile(r"(hostile|spot-\w+Z(\.\d+)?)\.(parquet|mp4|csv|csv-metadata\.json)(\.journal|\.partial)?")
    assert all(ours.fullmatch(path.name) for path in folder.rglob("*")), "nothing is written elsewhere"
    assert {path.name for path in folder.parent.iterdir()} <= {"recordings", "prompts"}


def record_one(running: Live) -> None:
    """A recording to be asked for."""
    running.rig.wait_for_more("spot", 1)
    running.library.takes.start(video=False)
    running.rig.wait_for_more("spot", 10)
    running.library.takes.stop()
    (path,) = running.library.folder.glob("*.parquet")
    path.rename(path.with_name(RECORDING))


def heard(page: ClientConnection) -> bytes:
    message = page.recv(20)
    return message if isinstance(message, bytes) else message.encode()


def raw_answer(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(65536)
        except OSError:
            return b""


def test_a_flood_of_good_orders_is_sent_away_too(running: Live) -> None:
    url = f"ws://127.0.0.1:{running.server.port}/ws"
    with connect(url) as flood, pytest.raises(ConnectionClosed, match="too many"):
        for number in range(5000):
            flood.send(json.dumps({"do": "ping", "at": float(number)}))
        while True:
            flood.recv(20)


def test_words_that_name_a_file_are_no_words(running: Live, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("category: secret\n")
    with connect(f"ws://127.0.0.1:{running.server.port}/ws") as page:
        for number, words in enumerate((str(tmp_path / "secret.yaml"), "x.safetensors", "person, ../x.yaml", "a\\b")):
            page.send(json.dumps({"do": "ask", "id": number, "prompt": words}))
            while (answer := json.loads(page.recv(20)))["type"] != "answer":
                pass
            assert "here are words" in answer["error"] and "secret" not in answer["error"]


def test_a_server_that_is_left_gives_its_port_back(running: Live, live: Callable, clip: str) -> None:
    with live({"spot": clip}) as first:
        port = first.server.port
    with live({"spot": clip}, address=f"127.0.0.1:{port}") as second:
        assert get(second.server.port, "/healthz")[2] == b"ok\n"


