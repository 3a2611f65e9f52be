localrules:
    table3b_comparisons,
    table12_power,
    table13_sample_efficiency,
    table14_ordering,
    figure3_accuracy_time,
    figure4_overhead,


rule table3b_comparisons:
    input:
        curves=rules.collect_curves.output,
        tests=rules.test_modes.output,
        code=code("make_table"),
    output:
        report(
            table("table3b_comparisons"),
            caption="../report/table3b_comparisons.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table3b_comparisons.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table3b_comparisons {params.flags}"
        " > {log} 2>&1"


rule table12_power:
    input:
        curves=rules.collect_curves.output,
        tests=rules.test_modes.output,
        code=code("make_table"),
    output:
        report(
            table("table12_power"),
            caption="../report/table12_power.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table12_power.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table12_power {params.flags}" " > {log} 2>&1"


rule table13_sample_efficiency:
    input:
        curves=rules.collect_curves.output,
        histories=run_files("history.jsonl"),
        code=code("make_table"),
    output:
        report(
            table("table13_sample_efficiency"),
            caption="../report/table13_sample_efficiency.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table13_sample_efficiency.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table13_sample_efficiency {params.flags}"
        " > {log} 2>&1"


rule table14_ordering:
    input:
        curves=rules.collect_curves.output,
        code=code("make_table"),
    output:
        report(
            table("table14_ordering"),
            caption="../report/table14_ordering.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table14_ordering.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table14_ordering {params.flags}" " > {log} 2>&1"


rule figure3_accuracy_time:
    input:
        curves=rules.collect_curves.output,
        histories=run_files("history.jsonl"),
        code=code("plot_figure"),
    output:
        report(
            figure("figure3_accuracy_time"),
            caption="../report/figure3_accuracy_time.rst",
            category="Figures",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/figure3_accuracy_time.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=FIGURE_FLAGS,
    shell:
        "python -m cfdapo.stages.plot_figure --figure figure3_accuracy_time {params.flags}"
        " > {log} 2>&1"


rule figure4_overhead:
    input:
        profiles=expand(rules.profile_overhead.output, model=MODELS),
        code=code("plot_figure"),
    output:
        report(
            figure("figure4_overhead"),
            caption="../report/figure4_overhead.rst",
            category="Figures",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/figure4_overhead.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=FIGURE_FLAGS,
    shell:
        "python -m cfdapo.stages.plot_figure --figure figure4_overhead {params.flags}"
        " > {log} 2>&1"
