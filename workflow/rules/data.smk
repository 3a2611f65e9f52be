localrules:
    prepare_data,
    prepare_set,


rule prepare_data:
    input:
        code=code("prepare_data"),
    output:
        train=f"{RESULTS}/data/train.jsonl",
        test=f"{RESULTS}/data/test.jsonl",
        manifest=f"{RESULTS}/data/manifest.json",
    log:
        f"{RESULTS}/logs/prepare_data.log",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        data=data_settings,
        content=data_content,
        out=subpath(output.train, parent=True),
    shell:
        "python -m cfdapo.stages.prepare_data --data {params.data:q} --out {params.out}"
        " > {log} 2>&1"


# A further test set; it reads the study's own problems, none of which it may be.
rule prepare_set:
    input:
        own=rules.prepare_data.output,
        manifest=rules.prepare_data.output.manifest,
        code=set_code("prepare_set"),
    output:
        test=f"{SET}/data/test.jsonl",
        manifest=f"{SET}/data/manifest.json",
    log:
        f"{LOGS_OF_SET}/prepare_set.log",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        data=set_data,
        content=set_content,
        study=subpath(input.manifest, parent=True),
        out=subpath(output.test, parent=True),
    shell:
        "python -m cfdapo.stages.prepare_set --name {wildcards.set} --data {params.data:q}"
        " --study {params.study} --out {params.out} > {log} 2>&1"
