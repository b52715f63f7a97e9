"""Sources and the transcoded video: ffmpeg, PyAV, synthetic videos, and the versions of the tools."""
