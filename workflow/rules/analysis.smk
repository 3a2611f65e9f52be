localrules:
    table4_drop_distribution,
    table5_content,
    table6_example,
    table15_span_statistics,
    figure5_drop_histogram,
    figure6_importance_position,
    figure7_weights,


CREDIT_FILES = expand(rules.measure_credit.output, model=MODELS)


rule table4_drop_distribution:
    input:
        credit=CREDIT_FILES,
        code=code("make_table"),
    output:
        report(
            table("table4_drop_distribution"),
            caption="../report/table4_drop_distribution.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table4_drop_distribution.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table4_drop_distribution {params.flags}"
        " > {log} 2>&1"


rule table5_content:
    input:
        credit=CREDIT_FILES,
        code=code("make_table"),
    output:
        report(
            table("table5_content"),
            caption="../report/table5_content.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table5_content.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table5_content {params.flags}" " > {log} 2>&1"


rule table6_example:
    input:
        credit=CREDIT_FILES,
        code=code("make_table"),
    output:
        report(
            table("table6_example"),
            caption="../report/table6_example.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table6_example.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table6_example {params.flags}" " > {log} 2>&1"


rule table15_span_statistics:
    input:
        credit=CREDIT_FILES,
        code=code("make_table"),
    output:
        report(
            table("table15_span_statistics"),
            caption="../report/table15_span_statistics.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table15_span_statistics.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table15_span_statistics {params.flags}"
        " > {log} 2>&1"


rule figure5_drop_histogram:
    input:
        credit=CREDIT_FILES,
        code=code("plot_figure"),
    output:
        report(
            figure("figure5_drop_histogram"),
            caption="../report/figure5_drop_histogram.rst",
            category="Figures",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/figure5_drop_histogram.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=FIGURE_FLAGS,
    shell:
        "python -m cfdapo.stages.plot_figure --figure figure5_drop_histogram {params.flags}"
        " > {log} 2>&1"


rule figure6_importance_position:
    input:
        credit=CREDIT_FILES,
        code=code("plot_figure"),
    output:
        report(
            figure("figure6_importance_position"),
            caption="../report/figure6_importance_position.rst",
            category="Figures",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/figure6_importance_position.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=FIGURE_FLAGS,
    shell:
        "python -m cfdapo.stages.plot_figure --figure figure6_importance_position {params.flags}"
        " > {log} 2>&1"


rule figure7_weights:
    input:
        credit=CREDIT_FILES,
        code=code("plot_figure"),
    output:
        report(
            figure("figure7_weights"),
            caption="../report/figure7_weights.rst",
            category="Figures",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/figure7_weights.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=FIGURE_FLAGS,
    shell:
        "python -m cfdapo.stages.plot_figure --figure figure7_weights {params.flags}"
        " > {log} 2>&1"
