"""DAPO itself: every token has its completion's advantage."""

from cfdapo.credit.weighting import Weighting


class Rule(Weighting):
    """Weight 1 everywhere; nothing is looked for or measured."""

    keeps = "completion"
