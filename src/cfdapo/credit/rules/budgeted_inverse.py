"""The opposite of the paper's hypothesis: what the stated answer hangs on most weighs least.

After CSCR (arXiv 2607.27888) as third parties describe it; its own code was not read.
"""

from dataclasses import replace

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.weighting import Weighting


class Rule(Weighting):
    """Weights of mode inverted, each completion's scaled to the mean 1: its sum is DAPO's.

    The sensitivity is the drop of the answer that the completion asserts, right or wrong; the
    answer's own tokens weigh as other text does, 1 before the scaling.
    """

    keeps = "completion"
    measures_drops = True

    def _weighed_by(self, config: CreditConfig) -> CreditConfig:
        return replace(config, mode="inverted", options={}, rescale_to_mean_one=True, w_answer=1.0)
