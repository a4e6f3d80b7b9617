"""Which class a phrase means to the text encoder: the one whose name has the most similar row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lass3d_core.errors import CorruptArtifact, Lass3dError, MissingArtifact, StaleArtifact
from lass3d_core.files.query_texts import asked_rows, encoder_changes, phrase_rows
from lass3d_core.labels import class_phrase
from preprocess.lvm import load_encoder
from preprocess.lvm.fetch_weights import wanted_weights
from preprocess.project import Project
from preprocess.stages import text_embeddings
from preprocess.stages.query_texts import spelt


def nearest_classes(project: Project, names: Sequence[str]) -> tuple[dict[str, frozenset[int]], str]:
    """Phrase -> the train id of its nearest class name, by the cosine of their rows; and why there is none.

    The rows are those of the text table. A class name that is no phrase of it is encoded by the manifest's
    encoder, if that is on this machine: nothing is downloaded.
    """
    try:
        phrases = phrase_rows(project.folder)
        rows, remark = _class_rows(project, names, phrases)
    except (MissingArtifact, StaleArtifact, CorruptArtifact) as error:
        return {}, str(error)
    if remark or not phrases:
        return {}, remark or "the text table has no phrase"
    cosines = _unit(np.stack(list(phrases.values()))) @ _unit(rows).T
    best = cosines.argmax(axis=1).tolist()
    return {phrase: frozenset((train_id,)) for phrase, train_id in zip(phrases, best)}, ""


def _class_rows(
    project: Project, names: Sequence[str], phrases: dict[str, np.ndarray]
) -> tuple[np.ndarray, str]:
    """The rows (C,D) of the class names; or why they cannot be had."""
    texts = [spelt(class_phrase(name)) for name in names]
    known = _asked(project) | phrases
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    if missing:
        remark = _cannot_encode(project)
        if remark:
            return np.empty((0, 0)), remark
        try:
            encoded = load_encoder(project.manifest.text_embeddings).encode(missing).pooled
        except Lass3dError as error:
            return np.empty((0, 0)), str(error)
        known |= dict(zip(missing, encoded))
    return np.stack([known[text] for text in texts]), ""


def _asked(project: Project) -> dict[str, np.ndarray]:
    try:
        return {spelt(text): row for text, row in asked_rows(project.folder).items()}
    except (StaleArtifact, CorruptArtifact):
        return {}


def _cannot_encode(project: Project) -> str:
    """Why the manifest's encoder cannot give further rows of the text table; empty if it can."""
    if encoder_changes(text_embeddings.encoder_params(project), project.folder):
        return "the text table is of another encoder than the manifest's; run `make captions`"
    weights = [one for one in wanted_weights(project.manifest) if one.key.startswith("text_embeddings.")]
    absent = [one.weights for one in weights if one.found() is None]
    return f"the encoder's weights {absent[0]} are not on this machine; run `make weights`" if absent else ""


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
