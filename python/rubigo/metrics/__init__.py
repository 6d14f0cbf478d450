"""Metrics: functions of predictions and targets, and objects that accumulate over batches.

Every function takes `(preds, target)` as tensors, numpy arrays or lists; every object has
`update(preds, target)`, `compute()`, `reset()`, `merge(other)` and `higher_is_better`.
"""

from .accuracy import Accuracy, TopKAccuracy, accuracy, hamming_loss, top_k_accuracy
from .base import Metric
from .confusion import (
    BalancedAccuracy,
    CohenKappa,
    ConfusionMatrix,
    MatthewsCorrCoef,
    balanced_accuracy,
    cohen_kappa,
    confusion_matrix,
    matthews_corrcoef,
)
from .precision_recall import (
    F1Score,
    FBetaScore,
    Precision,
    Recall,
    classification_report,
    f1_score,
    fbeta_score,
    precision,
    recall,
)
from .ranking import (
    ROCAUC,
    AveragePrecision,
    LogLoss,
    average_precision,
    log_loss,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from .regression import MeanAbsoluteError, MeanSquaredError, R2Score, mae, mse, r2_score

BY_NAME: dict[str, type[Metric]] = {
    metric.name: metric
    for metric in (
        Accuracy,
        AveragePrecision,
        BalancedAccuracy,
        CohenKappa,
        F1Score,
        LogLoss,
        MatthewsCorrCoef,
        MeanAbsoluteError,
        MeanSquaredError,
        Precision,
        R2Score,
        ROCAUC,
        Recall,
        TopKAccuracy,
    )
}
BY_NAME["acc"] = Accuracy
"""The metrics a `Trainer` takes by name."""

__all__ = [
    "BY_NAME",
    "ROCAUC",
    "Accuracy",
    "AveragePrecision",
    "BalancedAccuracy",
    "CohenKappa",
    "ConfusionMatrix",
    "F1Score",
    "FBetaScore",
    "LogLoss",
    "MatthewsCorrCoef",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "R2Score",
    "Recall",
    "TopKAccuracy",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "classification_report",
    "cohen_kappa",
    "confusion_matrix",
    "f1_score",
    "fbeta_score",
    "hamming_loss",
    "log_loss",
    "mae",
    "matthews_corrcoef",
    "mse",
    "precision",
    "precision_recall_curve",
    "r2_score",
    "recall",
    "roc_auc",
    "roc_curve",
    "top_k_accuracy",
]


def __dir__() -> list[str]:
    return __all__
