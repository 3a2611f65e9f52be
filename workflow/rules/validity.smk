localrules:
    table9_credit_validity,
    figure8_credit_validity,


rule table9_credit_validity:
    input:
        credit=CREDIT_FILES,
        code=code("make_table"),
    output:
        report(
            table("table9_credit_validity"),
            caption="../report/table9_credit_validity.rst",
            category="Tables",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/table9_credit_validity.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=TABLE_FLAGS,
    shell:
        "python -m cfdapo.stages.make_table --table table9_credit_validity {params.flags}"
        " > {log} 2>&1"


rule figure8_credit_validity:
    input:
        table=rules.table9_credit_validity.output,
        code=code("plot_figure"),
    output:
        report(
            figure("figure8_credit_validity"),
            caption="../report/figure8_credit_validity.rst",
            category="Figures",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/figure8_credit_validity.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flags=FIGURE_FLAGS,
    shell:
        "python -m cfdapo.stages.plot_figure --figure figure8_credit_validity {params.flags}"
        " > {log} 2>&1"
