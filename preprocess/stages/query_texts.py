"""`python -m preprocess embed`: rows of query texts, by the encoder that made the text table.

So `train query` needs no encoder. Texts that are phrases of the table, or were embedded before, are not
encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lass3d_core.errors import CorruptArtifact, ManifestError, StaleArtifact
from lass3d_core.files.pair_index import read_index
from lass3d_core.files.query_texts import asked_rows, encoder_changes, phrase_rows, write_asked
from lass3d_core.files.text_table import TEXT_TABLE
from lass3d_core.labels import class_phrase
from preprocess.lvm import load_encoder
from preprocess.project import Project
from preprocess.stages.phrases import normalise
from preprocess.stages.text_embeddings import encoder_params
from preprocess.status import plural


def embed(project: Project, texts: Sequence[str], classes: bool) -> str:
    """Give a row to each text, and with `classes` to each class name. Returns a line for the user.

    Decision: a text is embedded in the spelling of phrases ("a parked car" as "parked car"), because the
    network was trained with that spelling.
    Raises ManifestError, BackendUnavailable, and StaleArtifact if the manifest's encoder is not the table's.
    """
    if not all(text.strip() for text in texts) or not (texts or classes):
        raise ManifestError('embed: give --text "a parked car", which may be repeated, or --classes')
    wanted = [*texts, *map(class_phrase, read_index(project.folder / "pairs").class_names if classes else ())]
    phrases, asked = phrase_rows(project.folder), _asked(project.folder)
    missing = [text for text in dict.fromkeys(wanted) if text not in phrases | asked]
    if not missing:
        return f"nothing to embed: {plural(len(wanted), 'text')} known already"
    known = {text: phrases[spelling] for text in missing if (spelling := spelt(text)) in phrases}
    rows = known | _encoded(project, [text for text in missing if text not in known])
    made = write_asked(project.folder, asked | rows)
    return f"wrote {plural(len(rows), 'text')} to {made}"


def spelt(text: str) -> str:
    """The text in the spelling of phrases; unchanged if it names no thing."""
    return normalise(text) or text


def _asked(folder: Path) -> dict[str, np.ndarray]:
    """The texts embedded before; none if another encoder made them or the file is damaged."""
    try:
        return asked_rows(folder)
    except (StaleArtifact, CorruptArtifact):
        return {}


def _encoded(project: Project, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """The pooled row (D,) of each text. Without texts no encoder is loaded."""
    if not texts:
        return {}
    changes = encoder_changes(encoder_params(project), project.folder)
    if changes:
        raise StaleArtifact(
            f"{project.folder / TEXT_TABLE} was made by another encoder than the manifest names ({changes}); "
            'name that one, or run "make captions" and train again'
        )
    encoder = load_encoder(project.manifest.text_embeddings)
    return dict(zip(texts, encoder.encode([spelt(text) for text in texts]).pooled))
