"""BPR-MF: matrix factorisation that learns to rank."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kdiffe_dgl.config import Component
from kdiffe_dgl.models.pairwise import PairwiseConfig, PairwiseModel

__all__ = ["BPRMF", "BPRMFConfig"]


class BPRMFConfig(PairwiseConfig):
    """Settings of BPR-MF."""

    regularisation: float = Field(1e-2, ge=0)
    """Weight λ of the squared norm of the embeddings of a batch, per pair."""


class BPRMF(PairwiseModel):
    r"""Dot product of an embedding of the user and one of the item, trained with BPR.

    :math:`s_{ui} = e_u \cdot e_i`. (Rendle, Freudenthaler, Gantner and Schmidt-Thieme, *BPR: Bayesian
    Personalized Ranking from Implicit Feedback*, UAI 2009, BPR-OPT in section 4.1 and section 4.3.1.)

    Here: batches and Adam in place of single steps of gradient descent; one weight λ for all embeddings.
    """

    name: ClassVar[str] = "bprmf"
    Config: ClassVar[type[Component]] = BPRMFConfig
