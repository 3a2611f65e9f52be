"""The study's tables, by what they are about; each is data and text (`rendering.Table`)."""

from cfdapo.analysis.tables.accuracy import table1_accuracy, table2_auc
from cfdapo.analysis.tables.costs import table8_overhead, table11_estimator_cost
from cfdapo.analysis.tables.significance import table3_significance

__all__ = [
    "table1_accuracy",
    "table2_auc",
    "table3_significance",
    "table8_overhead",
    "table11_estimator_cost",
]
