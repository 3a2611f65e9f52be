localrules:
    table1_accuracy,
    table2_auc,
    table3_significance,
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
        rules.table1_accuracy.output,
        rules.table2_auc.output,
        rules.table3_significance.output,
        rules.table3b_comparisons.output,
        rules.table4_drop_distribution.output,
        rules.table5_content.output,
        rules.table6_example.output,
        rules.table8_overhead.output,
        rules.table9_credit_validity.output,
        rules.table10_reported_vs_reproduced.output,
        rules.table11_estimator_cost.output,
        rules.table12_power.output,
        rules.table13_sample_efficiency.output,
        rules.table14_ordering.output,
        rules.table15_span_statistics.output,
        rules.table16_inconsistencies.output,


rule figures:
    input:
        rules.figure1_training_curves.output,
        rules.figure2_training_dynamics.output,
        rules.figure3_accuracy_time.output,
        rules.figure4_overhead.output,
        rules.figure5_drop_histogram.output,
        rules.figure6_importance_position.output,
        rules.figure7_weights.output,
        rules.figure8_credit_validity.output,
        CREDIT_MAPS,


# What measured credit alone decides: no training where the study measures the untrained policy.
rule analysis:
    input:
        rules.table4_drop_distribution.output,
        rules.table5_content.output,
        rules.table6_example.output,
        rules.table9_credit_validity.output,
        rules.table15_span_statistics.output,
        rules.figure5_drop_histogram.output,
        rules.figure6_importance_position.output,
        rules.figure7_weights.output,
        rules.figure8_credit_validity.output,
        CREDIT_MAPS,
