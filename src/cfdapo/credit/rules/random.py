"""The ablation with weights drawn at random for every token (Section 3.4)."""

from cfdapo.credit.weighting import Weighting


class Rule(Weighting):
    """U(w_min, w_max) a token, where the completion has a span and an answer; nothing measured."""
