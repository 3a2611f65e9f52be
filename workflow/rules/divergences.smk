localrules:
    tabulate_divergences,


# What the penalties of a study's modes are like; it knows no run.
rule tabulate_divergences:
    input:
        code=code("tabulate_divergences"),
    output:
        f"{RESULTS}/statistics/divergences.csv",
    log:
        f"{RESULTS}/logs/tabulate_divergences.log",
    conda:
        "../../envs/train.yaml"
    params:
        models=" ".join(MODELS),
        divergences=as_flag(divergences(STUDY)),
    shell:
        "python -m cfdapo.stages.tabulate_divergences --models {params.models}"
        " --divergences {params.divergences:q} --out {output} > {log} 2>&1"
