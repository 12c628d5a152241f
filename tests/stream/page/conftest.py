"""A real browser, and a whole pipeline with the page on it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.stream.page.numbered import write_numbered
from tests.stream.rig import Rig
from xpose_stream.engines import NANO, Checkpoint, PromptBank, load
from xpose_stream.engines.prompts.bank import bank_for, prompts_for
from xpose_stream.engines.prompts.prompt import Prompt, skeleton_files
from xpose_stream.stream.outputs import Running, kinds_of
from xpose_stream.stream.page.app import Stream
from xpose_stream.stream.page.desk import Desk
from xpose_stream.stream.page.library import Library
from xpose_stream.stream.page.server import Server
from xpose_stream.stream.site import OutputSite
from xpose_stream.stream.swap import PromptSwap
from xpose_stream.trackers import TrackerConfig

expect.set_options(timeout=60_000)  # what takes a moment on an idle machine
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")  # while it is open, an event loop runs in this thread, and no other may
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if not CHROMIUM.exists():
        pytest.skip("Debian's package chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page in a profile of its own; at the end no script of it may have failed."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    yield page
    context.close()
    assert not failures


@pytest.fixture(scope="session")
def nano() -> Checkpoint:
    """The shipped weights."""
    return load(NANO)


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of numbered frames."""
    return write_numbered(tmp_path_factory.mktemp("numbered") / "numbered.mp4")


class Live:
    """A rig with its page, and its recordings if there is a folder for them."""

    library: Library

    def __init__(self, rig: Rig, server: Server, desk: Desk, library: Library | None) -> None:
        self.rig, self.server, self.desk = rig, server, desk
        if library:
            self.library = library
        self.url = server.url


@pytest.fixture
def live(nano: Checkpoint, tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[Live]]:
    """A rig of sources with the page at `.url`; prompts are embedded by the shipped weights."""

    @contextlib.contextmanager
    def started(
        sources: dict[str, str],
        *,
        address: str = "127.0.0.1:0",
        fixed: bool = True,
        token: str | None = None,
        recordings: Path | None = None,
        **settings: Any,
    ) -> Iterator[Live]:
        hub: list[Any] = []
        rig = Rig(sources, watcher=lambda frame, message: hub[0](frame, message), **settings)
        swap = PromptSwap(rig.pipeline, lambda text: prompts_for(nano, text))

        def embed(prompts: Sequence[Prompt]) -> PromptBank:
            return bank_for(nano, prompts)

        known = [name for name in skeleton_files() if nano.text_encoder and nano.text_encoder.knows(name)]
        desk = Desk(swap, embed, known, TrackerConfig(), tmp_path / "prompts")
        run = Running(rig.pipeline, TrackerConfig(), swap, embed, known, rig.wake, OutputSite())
        library = Library(recordings, rig.pipeline.cameras, kinds_of(run)) if recordings else None
        with contextlib.ExitStack() as stack:
            for camera in rig.pipeline.cameras.values():  # they read already, also where there will be no server
                stack.callback(camera.reader.close)
            server = stack.enter_context(Server(address, Stream(rig.pipeline, desk), library, fixed=fixed, token=token))
            hub.append(server.hub)
            stack.enter_context(rig)
            yield Live(rig, server, desk, library)

    return started
