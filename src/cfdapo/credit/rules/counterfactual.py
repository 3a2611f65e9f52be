"""Counterfactual importance: tokens of spans whose loss would cost the answer weigh more."""

from cfdapo.credit.weighting import Weighting


class Rule(Weighting):
    """Equations 3 to 8; the drops of every completion that teaches are measured."""

    measures_drops = True
