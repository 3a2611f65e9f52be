rule prepare_model:
    input:
        code=code("prepare_model"),
    output:
        directory(f"{RESULTS}/models/{{model}}"),
    log:
        f"{RESULTS}/logs/prepare_model/{{model}}.log",
    conda:
        "../../envs/train.yaml"
    threads: STUDY["resources"]["prepare_model"]["threads"]
    resources:
        gpu=STUDY["resources"]["prepare_model"]["gpu"],
        mem_mb=STUDY["resources"]["prepare_model"]["mem_mb"],
        runtime=STUDY["resources"]["prepare_model"]["runtime"],
    params:
        entry=model_entry,
        task=STUDY["data"]["task"],
    shell:
        "python -m cfdapo.stages.prepare_model --name {wildcards.model}"
        " --entry {params.entry:q} --task {params.task} --out {output} > {log} 2>&1"
