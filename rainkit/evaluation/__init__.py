"""Scores of restored pictures, each under the name of its protocol."""

from __future__ import annotations

from rainkit.evaluation.cached_derainer import DerainerRequest
from rainkit.evaluation.folders import (
    FoldersRequest,
    RestoredRequest,
    evaluate_folders,
    evaluate_restored,
)
from rainkit.evaluation.frame_averages import AveragesRequest, evaluate_averages
from rainkit.evaluation.methods import MethodRequest, evaluate_method
from rainkit.evaluation.metrics.protocols import PROTOCOLS, Protocol, protocol
from rainkit.evaluation.metrics.registry import METRICS, load_metrics
from rainkit.evaluation.result_files import COLUMNS, tables, write
from rainkit.evaluation.run import EvalRequest, Evaluation, run
from rainkit.evaluation.scores import Comparison, Failure, Score, Scores, Summary
from rainkit.evaluation.scoring import PairArrays, read_pair, score
from rainkit.render.text_tables import TextTable

__all__ = [
    "COLUMNS",
    "METRICS",
    "PROTOCOLS",
    "AveragesRequest",
    "Comparison",
    "DerainerRequest",
    "EvalRequest",
    "Evaluation",
    "Failure",
    "FoldersRequest",
    "MethodRequest",
    "PairArrays",
    "Protocol",
    "RestoredRequest",
    "Score",
    "Scores",
    "Summary",
    "TextTable",
    "evaluate_averages",
    "evaluate_folders",
    "evaluate_method",
    "evaluate_restored",
    "load_metrics",
    "protocol",
    "read_pair",
    "run",
    "score",
    "tables",
    "write",
]
