"""A real RTSP server for the tests: serves an MP4's H.264 as it is, from its start for every client, in real time.

Run by the system's Python, which has GStreamer's bindings (Debian: gir1.2-gst-rtsp-server-1.0, python3-gst-1.0):

    /usr/bin/python3 rtsp_server.py clip.mp4 [--port 0] [--shared] [--amid] [--user NAME --password WORD]

Prints the port on one line when it answers; the stream is at /clip. Kill it for a loss, SIGSTOP it for a stall.
"""

from __future__ import annotations

import argparse
from typing import Any

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip")
    parser.add_argument("--port", default="0")
    parser.add_argument("--amid", action="store_true", help="begin after a key frame, as one finds a camera")
    parser.add_argument("--shared", action="store_true", help="all clients see the same, as of a camera")
    parser.add_argument("--user")
    parser.add_argument("--password")
    arguments = parser.parse_args()

    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f'( filesrc location="{arguments.clip}" ! qtdemux ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )'
    )
    factory.set_shared(arguments.shared)  # else every client gets a pipeline of its own, from the clip's first frame
    if arguments.amid:
        factory.connect("media-configure", leave_out_first_key_frame)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=arguments.port)
    if arguments.user:
        require_password(server, factory, arguments.user, arguments.password)
    server.get_mount_points().add_factory("/clip", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def leave_out_first_key_frame(factory: Any, media: Any) -> None:
    """What comes first can then not be decoded."""

    def look(pad: Any, found: Any) -> Any:  # by its time: a client's PLAY may begin the clip once more
        return Gst.PadProbeReturn.OK if found.get_buffer().pts else Gst.PadProbeReturn.DROP

    media.get_element().get_by_name("pay0").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, look)


def require_password(server: Any, factory: Any, user: str, password: str) -> None:
    """Let in whoever gives this name and password (basic authentication), nobody else."""
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)


if __name__ == "__main__":
    main()
