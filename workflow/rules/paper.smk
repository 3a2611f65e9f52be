localrules:
    table1_accuracy,
    table2_auc,
    table3_significance,
    table7_code,
    table8_overhead,
    table11_estimator_cost,
    figure1_training_curves,
    figure2_training_dynamics,


rule table1_accuracy:
    input:
        curves=rules.collect_curves.output,
        code=code("make_table"),
    output:
        report(
            table("table1_accuracy"),
            caption="../report/table1_accuracy.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table1_accuracy.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table1_accuracy {params.flags} > {log} 2>&1"


rule table2_auc:
    input:
        curves=rules.collect_curves.output,
        code=code("make_table"),
    output:
        report(
            table("table2_auc"),
            caption="../report/table2_auc.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table2_auc.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table2_auc {params.flags} > {log} 2>&1"


rule table3_significance:
    input:
        curves=rules.collect_curves.output,
        tests=rules.test_modes.output,
        code=code("make_table"),
    output:
        report(
            table("table3_significance"),
            caption="../report/table3_significance.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table3_significance.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table3_significance {params.flags}"
        " > {log} 2>&1"


rule table7_code:
    input:
        curves=rules.collect_curves.output,
        histories=run_files("history.jsonl"),
        code=code("make_table"),
    output:
        report(
            table("table7_code"),
            caption="../report/table7_code.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table7_code.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table7_code {params.flags} > {log} 2>&1"


rule table8_overhead:
    input:
        records=run_files("run.json"),
        histories=run_files("history.jsonl"),
        profiles=expand(rules.profile_overhead.output, model=MODELS),
        code=code("make_table"),
    output:
        report(
            table("table8_overhead"),
            caption="../report/table8_overhead.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table8_overhead.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table8_overhead {params.flags} > {log} 2>&1"


rule table11_estimator_cost:
    input:
        profiles=expand(rules.profile_overhead.output, model=MODELS),
        code=code("make_table"),
    output:
        report(
            table("table11_estimator_cost"),
            caption="../report/table11_estimator_cost.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table11_estimator_cost.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table11_estimator_cost {params.flags}"
        " > {log} 2>&1"


rule figure1_training_curves:
    input:
        curves=rules.collect_curves.output,
        code=code("plot_figure"),
    output:
        report(
            figure("figure1_training_curves"),
            caption="../report/figure1_training_curves.rst",
            category="Figures",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/figure1_training_curves.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=FIGURE_FLAGS,
    shell:
        "python -m cfdapo.stages.plot_figure --figure figure1_training_curves {params.flags}"
        " > {log} 2>&1"


rule figure2_training_dynamics:
    input:
        histories=run_files("history.jsonl"),
        code=code("plot_figure"),
    output:
        report(
            figure("figure2_training_dynamics"),
            caption="../report/figure2_training_dynamics.rst",
            category="Figures",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/figure2_training_dynamics.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=FIGURE_FLAGS,
    shell:
        "python -m cfdapo.stages.plot_figure --figure figure2_training_dynamics {params.flags}"
        " > {log} 2>&1"


rule tables:
    input:
        fitting(
            *("table1_accuracy", "table2_auc", "table3_significance", "table3b_comparisons"),
            *("table4_drop_distribution", "table5_content", "table6_example", "table7_code"),
            *("table8_overhead", "table9_credit_validity", "table10_reported_vs_reproduced"),
            *("table11_estimator_cost", "table12_power", "table13_sample_efficiency"),
            *("table14_ordering", "table15_span_statistics", "table16_inconsistencies"),
        ),


rule figures:
    input:
        fitting(
            *("figure1_training_curves", "figure2_training_dynamics", "figure3_accuracy_time"),
            *("figure4_overhead", "figure5_drop_histogram", "figure6_importance_position"),
            *("figure7_weights", "figure8_credit_validity"),
        ),
        CREDIT_MAPS,


# What measured credit alone decides: no training where the study measures the untrained policy.
rule analysis:
    input:
        fitting(
            *("table4_drop_distribution", "table5_content", "table6_example"),
            *("table9_credit_validity", "table15_span_statistics", "figure5_drop_histogram"),
            *("figure6_importance_position", "figure7_weights", "figure8_credit_validity"),
        ),
        CREDIT_MAPS,
