rule train:
    input:
        model=f"{RESULTS}/models/{{model}}",
        proxy=proxy_model,
        mirror=found_mirror,
        data=f"{RESULTS}/data/train.jsonl",
        code=code("train"),
        rule=rule_code,
    output:
        weights=expand(
            f"{RUN}/adapters/step{{step}}/adapter_model.safetensors",
            step=STEPS,
            allow_missing=True,
        ),
        configs=expand(
            f"{RUN}/adapters/step{{step}}/adapter_config.json",
            step=STEPS,
            allow_missing=True,
        ),
        history=f"{RUN}/history.jsonl",
        record=f"{RUN}/run.json",
    log:
        f"{RESULTS}/logs/train/{{model}}/{{mode}}/seed{{seed}}.log",
    conda:
        "../../envs/train.yaml"
    threads: STUDY.resources.train.threads
    resources:
        gpu=STUDY.resources.train.gpu,
        mem_mb=scaled("train", "mem_mb"),
        runtime=scaled("train", "runtime"),
    params:
        # Its name is that of the first of them: runs that are there were made with it.
        proxy=train_flags,
        settings=train_settings,
        out=subpath(output.record, parent=True),
    shell:
        "HF_HUB_OFFLINE=1 python -m cfdapo.stages.train --model {wildcards.model} --model-dir {input.model}"
        " --problems {input.data} --mode {wildcards.mode} --seed {wildcards.seed}"
        " --settings {params.settings:q} {params.proxy} --out {params.out} > {log} 2>&1"
