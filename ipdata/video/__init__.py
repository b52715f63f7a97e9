"""Sources and the transcoded video: ffmpeg, PyAV, the synthetic videos, and the versions of what made the bytes."""
