"""What the data and the paper mean: the part that both programs share.

Numpy half (never imports torch): errors, atomic, typed, records, labels, geometry, masks, fingerprint,
manifest, checked_hdf5, shards, pair_index, text_rows, text_table, query_texts, splits, datasets.
Torch half (never imports manifest, shards, text_table or datasets): voxels, sparse, nets, safm, adapter,
alignment, query, crops, superpoints, class_bank, confidences, exploitation, label_prior, ema,
losses, metrics.

Letters in shapes:  N points · M voxels · V views of a scan · E entities of an image · I images · T texts ·
                    R text rows · P phrases · C classes · F feature channels · D text dimension

Paper                       code                                            where
--------------------------  ----------------------------------------------  --------------------------------
Eq. (1)  theta_teacher      update_teacher, alpha                           ema
Eq. (2)  [u,v,1] = K M x    project, Camera.K, Camera.cam_from_points       geometry, records
Eq. (3)  L_KL               feature_kl(f_text, f_ada)                       losses
Eq. (4)  B, tau_r, tau_v    reliable mask                                   exploitation
Eq. (5)  y_hat, tau_n       negative classes                                exploitation
Eq. (6)  L_PE               negative learning loss                          exploitation
Eq. (7)  L_CE^l             labelled cross-entropy                          losses
Eq. (8)  L_CE^u             pseudo-label cross-entropy                      losses
Eq. (9)  L_total            the dict that a method's `losses` returns       train/methods/lass3d
C_i      image captions     ImageCaption                                    records
C_e      entity captions    Entity.phrase                                   records
E_i      image embeddings   TextBatch.image_rows                            safm
E_e      entity embeddings  TextBatch.entity_rows                           safm
f_3D     backbone features  f_3d                                            nets
f_3D^t   text-enhanced      f_text                                          safm
f_ada    adapted            f_ada                                           adapter
P_rl, P_url                 reliable, unreliable points                     exploitation
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lass3d_core.model.predict import Model


def load(path: str | Path, device: str = "cpu", backend: str | None = None) -> Model:
    """The finished model in the file at `path`; see lass3d_core/model/predict.py.

    Raises MissingArtifact, CorruptArtifact, UnknownName, BackendUnavailable, all of them Lass3dError.
    """
    # Imported here, so that the numpy half of the package loads no torch.
    from lass3d_core.model.predict import load as load_model

    return load_model(path, device, backend)
