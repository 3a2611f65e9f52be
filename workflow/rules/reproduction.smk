localrules:
    table10_reported_vs_reproduced,
    table16_inconsistencies,


# What Table 10 joins with the paper's numbers.
JOINED = [
    *("table1_accuracy", "table2_auc", "table3_significance", "table4_drop_distribution"),
    *("table5_content", "table8_overhead", "table13_sample_efficiency"),
    "table15_span_statistics",
]


rule table10_reported_vs_reproduced:
    input:
        tables=[f"{RESULTS}/tables/{name}.csv" for name in JOINED],
        curves=rules.collect_curves.output,
        code=code("make_table"),
    output:
        report(
            table("table10_reported_vs_reproduced"),
            caption="../report/table10_reported_vs_reproduced.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table10_reported_vs_reproduced.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table10_reported_vs_reproduced {params.flags}"
        " > {log} 2>&1"


rule table16_inconsistencies:
    input:
        code=code("make_table"),
    output:
        report(
            table("table16_inconsistencies"),
            caption="../report/table16_inconsistencies.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table16_inconsistencies.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table16_inconsistencies {params.flags}"
        " > {log} 2>&1"
