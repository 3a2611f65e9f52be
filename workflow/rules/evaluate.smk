rule evaluate:
    input:
        model=f"{RESULTS}/models/{{model}}",
        data=f"{RESULTS}/data/test.jsonl",
        weights=rules.train.output.weights,
        configs=rules.train.output.configs,
        # It tells which adapters are the run's own; a new one of the same adapters changes nothing.
        record=ancient(rules.train.output.record),
        code=code("evaluate"),
    output:
        f"{RUN}/evaluation.jsonl",
    log:
        f"{RESULTS}/logs/evaluate/{{model}}/{{mode}}/seed{{seed}}.log",
    conda:
        "../../envs/train.yaml"
    threads: STUDY.resources.evaluate.threads
    resources:
        gpu=STUDY.resources.evaluate.gpu,
        mem_mb=scaled("evaluate", "mem_mb"),
        runtime=scaled("evaluate", "runtime"),
    params:
        settings=evaluate_settings,
        run=subpath(output[0], parent=True),
    shell:
        "HF_HUB_OFFLINE=1 python -m cfdapo.stages.evaluate --model-dir {input.model} --problems {input.data}"
        " --run-dir {params.run} --settings {params.settings:q} --out {output} > {log} 2>&1"
