"""What Prometheus reads: the ledgers and states of all cameras, as they are when it asks; and who asks for health."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from xpose_stream.stream.camera import Camera
from xpose_stream.stream.ledger import Histogram
from xpose_stream.stream.pipeline import Pipeline
from xpose_stream.stream.sinks.guard import Refused
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.watch.health import Health

# s; upper ends of the histograms' buckets.
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Serves http://HOST:PORT/metrics, /health and /ready while it is entered; docs/streaming.md lists the names.

    endpoint "127.0.0.1:9464", "[::1]:9464", or ":9464" for all IPv4 addresses of this machine. Raises SinkError when
    it cannot be had.
    """

    def __init__(self, endpoint: str, pipeline: Pipeline, refused: Refused | None = None) -> None:
        host, _, port = endpoint.rpartition(":")
        registry = CollectorRegistry()
        registry.register(Ledgers(pipeline.cameras, Refused() if refused is None else refused))
        try:
            self._server, self._thread = start_http_server(int(port), host.strip("[]") or "0.0.0.0", registry)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SinkError(f"cannot serve metrics at {endpoint}: {reason}") from None
        app = self._server.get_app()
        assert app
        self._server.set_app(Health(pipeline, app))
        self.port = self._server.server_port

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class Ledgers(Collector):
    """Reads the cameras' ledgers, and who was refused, when asked; keeps nothing of its own."""

    def __init__(self, cameras: Mapping[str, Camera], refused: Refused) -> None:
        self._cameras, self._refused = cameras, refused

    def collect(self) -> Iterable[Metric]:
        """One family per metric, one sample per camera."""
        one = ["camera"]
        received = CounterMetricFamily("xpose_frames_received", "Frames decoded.", labels=one)
        published = CounterMetricFamily("xpose_frames_published", "Frames published.", labels=one)
        dropped = CounterMetricFamily("xpose_frames_dropped", "Frames dropped.", labels=["camera", "reason"])
        corrupt = CounterMetricFamily("xpose_corrupt", "Broken packets and pictures.", labels=one)
        reconnects = CounterMetricFamily("xpose_reconnects", "Times a lost source came back.", labels=one)
        up = GaugeMetricFamily("xpose_camera_up", "1 while frames come.", labels=one)
        epoch = GaugeMetricFamily("xpose_epoch", "Epoch of the latest frame.", labels=one)
        detections = GaugeMetricFamily("xpose_detections", "In the latest frame, good enough for a track.", labels=one)
        tracks = GaugeMetricFamily("xpose_tracks", "In the latest frame.", labels=one)
        with_detections = CounterMetricFamily("xpose_frames_with_detections", "Frames that had any.", labels=one)
        with_tracks = CounterMetricFamily("xpose_frames_with_tracks", "Frames that had any.", labels=one)
        best = GaugeMetricFamily("xpose_best_score", "Of anything since the prompt began.", labels=one)
        drift = GaugeMetricFamily("xpose_clock_drift_ppm", "The camera's clock against this host's.", labels=one)
        latency = HistogramMetricFamily("xpose_latency_seconds", "Time of frames by stage.", labels=["camera", "stage"])
        output = ["camera", "output"]
        full = GaugeMetricFamily("xpose_output_paused", "1 while a file cannot be written.", labels=output)
        lost = CounterMetricFamily("xpose_output_frames_lost", "Frames left out of a file.", labels=output)
        for name, camera in list(self._cameras.items()):
            for sink in camera.sinks:
                full.add_metric([name, sink.name], float(bool(sink.room.full)))
                lost.add_metric([name, sink.name], sink.room.lost)
            ledger, reader = camera.ledger, camera.reader
            received.add_metric([name], ledger.received)
            published.add_metric([name], ledger.published)
            for reason, count in list(ledger.dropped.items()):
                dropped.add_metric([name, reason], count)
            finds = ledger.finds
            detections.add_metric([name], finds.detections)
            tracks.add_metric([name], finds.tracks)
            with_detections.add_metric([name], finds.with_detections)
            with_tracks.add_metric([name], finds.with_tracks)
            best.add_metric([name], finds.best)
            corrupt.add_metric([name], reader.corrupt)
            reconnects.add_metric([name], reader.reconnects)
            up.add_metric([name], float(camera.state == "playing"))
            epoch.add_metric([name], max(reader.epoch, 0))
            if reader.drift is not None:
                drift.add_metric([name], reader.drift)
            for stage, histogram in list(ledger.stages.items()):
                latency.add_metric([name, stage], _buckets(histogram), histogram.sum)
        handshakes = CounterMetricFamily(
            "xpose_handshakes_refused", "Clients that were not let in.", labels=["socket", "reason"]
        )
        for labels, count in list(self._refused.items()):
            handshakes.add_metric(labels, count)
        found = [handshakes, detections, tracks, with_detections, with_tracks, best]
        return [received, published, dropped, *found, corrupt, reconnects, up, epoch, drift, latency, full, lost]


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    counts: list[tuple[str, float]] = [(str(end), histogram.up_to(end)) for end in _BUCKETS]
    return [*counts, ("+Inf", int(histogram.counts.sum()))]
