"""Make the pictures of docs/start.md again, from a finished `make demo`.

    python docs/site/pictures.py --image data/street/sequences/00/image_2/000000.png \
        --audit artifacts/street/audit/00-000011-image_2.png \
        --page runs/street/demo.html

The first is what `make preview` writes, the second what `make audit RATIO=2` wrote. The third is the page in
Chromium, which must be installed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
INTO = ROOT / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1100, 1000


def main() -> int:
    """Write docs/pictures/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, help="an image of the street")
    parser.add_argument("--audit", type=Path, help="a picture of the audit")
    parser.add_argument("--page", type=Path, help="the page of the demo")
    options = parser.parse_args()
    INTO.mkdir(exist_ok=True)
    if options.image:
        command = [
            sys.executable,
            "-m",
            "preprocess",
            "preview",
            "--dataset=street",
            "--",
            str(options.image),
        ]
        subprocess.run(command, cwd=ROOT, check=True)
        small(ROOT / "artifacts" / "street" / "preview" / f"{options.image.stem}.png", INTO / "preview.png")
    if options.audit:
        small(options.audit, INTO / "audit.png")
    if options.page:
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            print("error: no Chromium is installed; apt-get install chromium", file=sys.stderr)
            return 2
        with tempfile.TemporaryDirectory() as folder:
            shot = Path(folder) / "page.png"
            command = [browser, "--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={shot}"]
            command += [f"--window-size={WIDTH},{HEIGHT}", "--virtual-time-budget=4000"]
            subprocess.run([*command, options.page.resolve().as_uri()], check=True, stderr=subprocess.DEVNULL)
            small(shot, INTO / "demo.png")
    return 0


def small(picture: Path, into: Path) -> None:
    """A copy with 128 colours, which has a third of the bytes."""
    with Image.open(picture) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(into, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
