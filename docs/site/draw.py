"""Draw the figures of docs/figures/ again; tests/test_site.py checks that they are what this draws."""

from __future__ import annotations

from pathlib import Path

from drawing import paper, plus

FOLDER = Path(__file__).resolve().parents[1] / "figures"


def drawn() -> dict[str, str]:
    """File name -> SVG."""
    return {f"{name}.svg": figure() for name, figure in (paper.FIGURES | plus.FIGURES).items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in drawn().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
