"""The ablation with importance turned around: what matters most weighs least (Section 3.4)."""

from cfdapo.credit.weighting import Weighting


class Rule(Weighting):
    """Equations 3 to 8 with 1 minus the normalised importance; drops are measured all the same."""

    measures_drops = True
