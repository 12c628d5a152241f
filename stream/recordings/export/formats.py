"""The formats by name, and what becomes of a recording in each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A format: the end of its files' names ("/": a folder), what it is, what of a recording it does not hold.

    needs: the extra of this program with what it takes to write it. beside: the end of the name of a second file that
    stands beside the first.
    """

    suffix: str
    what: str
    lost: str
    needs: str | None = None
    beside: str | None = None

    @property
    def folder(self) -> bool:
        """It is a folder of files."""
        return self.suffix.endswith("/")


_FEW = "boxes, velocities, covariances, measurements"

FORMATS: dict[str, Format] = {
    "csv": Format(".csv", "a row for each frame, track and keypoint", "predictions", beside="-metadata.json"),
    "coco": Format(
        ".coco.json", "COCO keypoints with track_id and score", "predictions, velocities, covariances, measurements"
    ),
    "pose2sim": Format(
        ".pose2sim/",
        "OpenPose's JSON for Pose2Sim, all cameras in step",
        "boxes, velocities, covariances, measurements, the times as they were",
    ),
    "trc": Format(
        ".trc/",
        "markers on a plane for OpenSim, a file per track",
        "boxes, scores, velocities, covariances, measurements, which places were gaps, the times as they were",
    ),
    "c3d": Format(
        ".c3d/",
        "points on a plane with residuals, a file per track",
        "boxes, scores, velocities, covariances but for the residual, the times as they were",
        "c3d",
    ),
    "movement": Format(".movement/", "netCDF for movement and xarray", _FEW, "movement"),
    "nwb": Format(".nwb/", "NWB with ndx-pose, a file per track", _FEW, "nwb"),
    "sleap": Format(".slp/", "SLEAP's labels: predicted instances", f"{_FEW}, times (frame numbers stay)", "sleap"),
    "dlc": Format(".dlc/", "DeepLabCut's tables, CSV and HDF5", f"{_FEW}, times (frame numbers stay)", "dlc"),
    "rerun": Format(
        ".rrd", "Rerun, an entity per track", "boxes, scores, velocities, covariances, measurements", "rerun"
    ),
    "mp4": Format(".mp4", "the tracks drawn on the video that --video names", "all numbers"),
}
