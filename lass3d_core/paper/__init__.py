"""The equations of LASS3D (Li and Dong, ECCV 2024), one place for each.

    Eq. (1)       teacher as moving average          ema.update_teacher
    Eq. (2)       point to pixel                     lass3d_core/geometry/projection.py, project
    Eq. (3)       distillation into the adapter      losses.feature_kl, adapter.FusionAdapter
    Sec. 3.2      fusion of text (SAFM)              safm.Safm
    Eq. (4)       reliable points                    exploitation.is_reliable
    Eq. (5)       negative classes                   exploitation.least_likely, exploitation.Mining
    Eq. (6)       negative learning                  exploitation.negative_learning
    Eq. (7), (8)  cross-entropy                      losses.cross_entropy
    Eq. (9)       the sum of the terms               train/methods/lass3d.py, and the loop that adds them
    Tab. 6        alignment instead of fusion        alignment.SemanticConsistency
    Sec. 4        mean intersection over union       metrics.mean_iou

A paragraph that starts with "Decision:" says what the paper leaves open and what is done here.
"""
