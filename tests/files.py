"""Writing small files in tests."""

from pathlib import Path


def write(path: Path, content: str | bytes = b"") -> Path:
    """Write a file with its folders; text as UTF-8, line ends as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
