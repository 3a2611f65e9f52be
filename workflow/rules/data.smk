localrules:
    prepare_data,


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
