"""Synthetic evaluations, ordinary and degenerate, that plots and reports have to cope with."""

import math

import numpy as np

from audio_anomaly_detector.plotting.evaluation_data import EvaluationData

HISTORY = [
    {"stage": stage, "epoch": epoch, "learning_rate": 1e-3, "loss": 1 / epoch - 0.3, **watched}
    for stage in ("despawn", "vqvae")
    for epoch in range(1, 4)
    for watched in ([{}, {"watch_auroc": 0.5 + 0.1 * epoch}][stage == "vqvae"],)
]


def synthetic_evaluation(n_normal, n_anomalous, *, labels=True, threshold=1.5, **changes):
    generator = np.random.default_rng(0)
    truth = np.repeat([0, 1], [n_normal, n_anomalous])
    scores = generator.normal(size=truth.size) + 2 * truth
    fields = {
        "title": "valve id_00",
        "names": [f"valve/id_00/{i:08d}.wav" for i in range(truth.size)],
        "scores": scores,
        "p_resolution": np.full(truth.size, 1 / (truth.size + 1)),
        "p_values": (1 + np.arange(truth.size)[::-1]) / (truth.size + 1),
        "decisions": scores > threshold,
        "threshold": threshold,
        "labels": truth if labels else None,
        "components": {name: scores + generator.normal(size=truth.size) for name in ("a_1", "b")},
        "latents": generator.normal(size=(truth.size, 4)),
        "history": HISTORY,
    }
    return EvaluationData(**{**fields, **changes})


CASES = {
    "ordinary": synthetic_evaluation(30, 20),
    "few": synthetic_evaluation(5, 3),
    "unlabelled": synthetic_evaluation(12, 3, labels=False),
    "normals only": synthetic_evaluation(9, 0),
    "anomalies only": synthetic_evaluation(0, 9),
    "one clip": synthetic_evaluation(1, 0),
    "one unlabelled clip": synthetic_evaluation(1, 0, labels=False),
    "equal scores": synthetic_evaluation(4, 4, scores=np.zeros(8), decisions=np.zeros(8, bool)),
    "zeros and an outlier": synthetic_evaluation(
        6, 1, scores=np.array([0, 0, 0, 0, 0, 0, 1e6]), decisions=np.arange(7) > 5
    ),
    "outliers": synthetic_evaluation(
        30, 3, scores=np.concatenate([np.linspace(-1, 1, 30), [50, 1e3, 1e9]])
    ),
    "infinite threshold": synthetic_evaluation(5, 5, threshold=math.inf),
    "without networks": synthetic_evaluation(5, 5, latents=None, history=[]),
    "bare": synthetic_evaluation(5, 5, components={}, latents=None, history=[]),
    "collapsed latents": synthetic_evaluation(5, 5, latents=np.ones((10, 4))),
    "hostile names": synthetic_evaluation(
        5,
        5,
        title="$\\frac{$ <script>alert(1)</script>",
        components={"$x_{$": np.arange(10.0), "<b>&amp;": np.zeros(10)},
        history=[{"stage": "$\\bad{$", "epoch": 1, "$\\x{$": 1.0}],
    ),
    "many components": synthetic_evaluation(
        8, 8, components={f"c{i}": np.arange(16.0) * (i - 20) for i in range(40)}
    ),
}
