localrules:
    credit_map,


rule credit_map:
    input:
        spans=rules.measure_credit.output.spans,
        completions=rules.measure_credit.output.completions,
        code=code("draw_credit_map"),
    output:
        report(
            f"{RESULTS}/figures/credit_map_{{model}}.html",
            caption="../report/credit_map.rst",
            category="Figures",
            labels=report_labels,
        ),
    log:
        f"{RESULTS}/logs/credit_map/{{model}}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        study=config["study"],
        task=TASK,
        label=lambda wildcards: LABELS[wildcards.model],
        credit=as_flag(
            {
                key: getattr(measured_credit(STUDY), key)
                for key in ("intervention", "sink", "w_min", "w_max", "w_answer")
            }
        ),
    shell:
        "python -m cfdapo.stages.draw_credit_map --spans {input.spans}"
        " --completions {input.completions} --study {params.study:q} --label {params.label:q}"
        " --credit {params.credit:q} --task {params.task} --out {output} > {log} 2>&1"


CREDIT_MAPS = expand(rules.credit_map.output, model=MODELS)
