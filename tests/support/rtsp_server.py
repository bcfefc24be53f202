"""An RTSP server with a moving ball in H.264 on 127.0.0.1: `/usr/bin/python3 rtsp_server.py PORT`.

Needs Debian's python3-gi and gir1.2-gst-rtsp-server-1.0, so it runs under the system's Python. Says "ready"
in one line when it serves rtsp://127.0.0.1:PORT/ball.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 pt=96 )"
)


def main() -> None:
    """Serve until the process is ended."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)
    server.get_mount_points().add_factory("/ball", factory)
    if not server.attach(None):
        sys.exit(f"port {sys.argv[1]} cannot be had")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


main()
