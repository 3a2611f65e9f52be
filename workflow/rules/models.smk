localrules:
    fetch_model,
    downloads,


rule prepare_model:
    input:
        code=code("prepare_model"),
    output:
        directory(f"{RESULTS}/models/{{model}}"),
    log:
        f"{RESULTS}/logs/prepare_model/{{model}}.log",
    wildcard_constraints:
        model=one_of(set(MODELS) - set(HUB_MODELS)),
    conda:
        "../../envs/train.yaml"
    threads: STUDY.resources.prepare_model.threads
    resources:
        gpu=STUDY.resources.prepare_model.gpu,
        mem_mb=scaled("prepare_model", "mem_mb"),
        runtime=scaled("prepare_model", "runtime"),
    params:
        entry=model_entry,
        content=model_content,
        task=STUDY.data.task,
    shell:
        "python -m cfdapo.stages.prepare_model --name {wildcards.model}"
        " --entry {params.entry:q} --task {params.task} --out {output} > {log} 2>&1"


# Needs the network, no memory and no GPU: on a cluster it runs where snakemake was called.
rule fetch_model:
    input:
        code=code("prepare_model"),
    output:
        directory(f"{RESULTS}/models/{{model}}"),
    log:
        f"{RESULTS}/logs/fetch_model/{{model}}.log",
    wildcard_constraints:
        model=one_of(HUB_MODELS),
    conda:
        "../../envs/train.yaml"
    params:
        entry=model_entry,
        task=STUDY.data.task,
    shell:
        "python -m cfdapo.stages.prepare_model --name {wildcards.model}"
        " --entry {params.entry:q} --task {params.task} --out {output} > {log} 2>&1"


rule downloads:
    input:
        rules.prepare_data.output,
        expand(rules.prepare_set.output, set=SETS),
        expand(rules.fetch_model.output, model=HUB_MODELS),
