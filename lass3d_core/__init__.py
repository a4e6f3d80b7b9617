"""What both programs share: the records, the files, the geometry, the paper's equations and the networks.

Rooms that never import torch:  manifest, files, geometry, datasets, clouds, words, progress,
                                viewer, plugins
Rooms of torch:                 paper, sparse, nets, compute; they never import manifest, files, datasets
The drawing is in docs/architecture.md.

Letters in shapes:
  N points · M voxels · V views of a scan · E entities of an image · I images · T texts · R text rows ·
  P phrases · C classes · F feature channels · D text dimension

Paper                                    Names in the code            File
--------  -----------------------------  ---------------------------  ----------------------------------
Eq. (1)   teacher, a moving average      update_teacher, alpha_at     lass3d_core/paper/ema.py
Eq. (2)   points into pixels             project                      lass3d_core/geometry/projection.py
K, M      a camera                       Camera, K, cam_from_points   lass3d_core/records.py
Eq. (3)   L_KL, distillation             feature_kl                   lass3d_core/paper/losses.py
Eq. (4)   reliable points; tau_r, tau_v  is_reliable                  lass3d_core/paper/exploitation.py
Eq. (5)   negative classes; tau_n        least_likely                 lass3d_core/paper/exploitation.py
Eq. (6)   L_PE, negative learning        negative_learning            lass3d_core/paper/exploitation.py
Eq. (7)   L_CE^l, labelled points        cross_entropy                lass3d_core/paper/losses.py
Eq. (8)   L_CE^u, pseudo-labels          cross_entropy                lass3d_core/paper/losses.py
Eq. (9)   L_total, the sum of all terms  losses, lambda_u, lambda_pe  train/methods/lass3d.py
C_i       caption of an image            ImageCaption                 lass3d_core/records.py
C_e       caption of a thing in it       Entity, phrase               lass3d_core/records.py
E_i, E_e  their text embeddings          image_rows, entity_rows      lass3d_core/paper/safm.py
f_3D      features of the backbone       f_3d                         train/methods/lass3d.py
f_3D^t    features with the text (SAFM)  Safm, f_text                 lass3d_core/paper/safm.py
f_ada     features after the adapter     FusionAdapter                lass3d_core/paper/adapter.py
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lass3d_core.model.predict import Model

__version__ = "0.1.0"
"""The one place of the project's version: the wheel, `--version` and model files have it from here."""


def load(path: str | Path, device: str = "cpu", backend: str | None = None) -> Model:
    """The finished model in the file at `path`; see lass3d_core/model/predict.py.

    Raises MissingArtifact, CorruptArtifact, UnknownName, BackendUnavailable, all of them Lass3dError.
    """
    # Imported here, so that the numpy half of the package loads no torch.
    from lass3d_core.model.predict import load as load_model

    return load_model(path, device, backend)
