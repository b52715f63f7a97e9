"""Opening pages in a real browser: headless Chromium, where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest

OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]


def opened(page: Path, temporary: Path, *, then: str = "", width_px: int = 800) -> str:
    """The page as HTML after its scripts have run, and after them `then`, JavaScript that uses it as a reader would.

    width_px: of the window.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("NO BROWSER: the page was not opened")
    begin, end, rest = page.read_text("utf-8").rpartition("</body>")
    used = page.with_name(f"used-{page.name}")
    used.write_text(f"{begin}<script>{{{then}}}</script>{end}{rest}", "utf-8")
    command = [
        browser,
        *OPTIONS,
        f"--window-size={width_px},900",
        f"--user-data-dir={temporary}/browser",
        used.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
