"""The study's tables, by what they are about; each is data and text (`rendering.Table`)."""

from cfdapo.analysis.tables.accuracy import table1_accuracy, table2_auc
from cfdapo.analysis.tables.code import table7_code
from cfdapo.analysis.tables.consistency import table16_inconsistencies
from cfdapo.analysis.tables.content import table5_content
from cfdapo.analysis.tables.costs import table8_overhead, table11_estimator_cost
from cfdapo.analysis.tables.drops import table4_drop_distribution
from cfdapo.analysis.tables.efficiency import table13_sample_efficiency
from cfdapo.analysis.tables.example import table6_example
from cfdapo.analysis.tables.ordering import table14_ordering
from cfdapo.analysis.tables.power import table12_power
from cfdapo.analysis.tables.reproduced import table10_reported_vs_reproduced
from cfdapo.analysis.tables.significance import table3_significance, table3b_comparisons
from cfdapo.analysis.tables.span_statistics import table15_span_statistics
from cfdapo.analysis.tables.validity import table9_credit_validity

__all__ = [
    "table1_accuracy",
    "table2_auc",
    "table3_significance",
    "table3b_comparisons",
    "table4_drop_distribution",
    "table5_content",
    "table6_example",
    "table7_code",
    "table8_overhead",
    "table9_credit_validity",
    "table10_reported_vs_reproduced",
    "table11_estimator_cost",
    "table12_power",
    "table13_sample_efficiency",
    "table14_ordering",
    "table15_span_statistics",
    "table16_inconsistencies",
]
