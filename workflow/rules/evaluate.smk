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


# The same adapters on a further test set: no training, and no other evaluation, knows of it.
use rule evaluate as evaluate_set with:
    input:
        model=f"{RESULTS}/models/{{model}}",
        data=rules.prepare_set.output.test,
        weights=rules.train.output.weights,
        configs=rules.train.output.configs,
        record=ancient(rules.train.output.record),
        code=set_code("evaluate"),
    output:
        f"{SET}/{ONE_RUN}/evaluation.jsonl",
    log:
        f"{LOGS_OF_SET}/evaluate/{{model}}/{{mode}}/seed{{seed}}.log",
    params:
        settings=set_evaluate_settings,
        run=subpath(input.record, parent=True),
