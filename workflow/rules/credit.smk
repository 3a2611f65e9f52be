localrules:
    prepare_measured,


rule prepare_measured:
    input:
        code=code("prepare_measured"),
    output:
        f"{RESULTS}/data/measured.jsonl",
    log:
        f"{RESULTS}/logs/prepare_measured.log",
    conda:
        "../../envs/train.yaml"
    params:
        data=data_settings,
        content=data_content,
        problems=max(STUDY.measurement.prompts, STUDY.measurement.gold),
    shell:
        "python -m cfdapo.stages.prepare_measured --data {params.data:q}"
        " --problems {params.problems} --out {output} > {log} 2>&1"


rule measure_credit:
    input:
        model=f"{RESULTS}/models/{{model}}",
        proxy=proxy_model,
        adapter=measured_adapter,
        record=measured_record,
        data=rules.prepare_measured.output,
        code=code("measure_credit"),
        own=measured_code,
    output:
        spans=f"{RESULTS}/credit/{{model}}.jsonl",
        completions=f"{RESULTS}/credit/{{model}}.completions.jsonl",
    log:
        f"{RESULTS}/logs/measure_credit/{{model}}.log",
    conda:
        "../../envs/train.yaml"
    threads: STUDY.resources.measure_credit.threads
    resources:
        gpu=STUDY.resources.measure_credit.gpu,
        mem_mb=scaled("measure_credit", "mem_mb"),
        runtime=scaled("measure_credit", "runtime"),
    params:
        proxy=proxy_flag,
        policy=measured_policy,
        settings=measurement_settings,
    shell:
        "HF_HUB_OFFLINE=1 python -m cfdapo.stages.measure_credit --model-dir {input.model}"
        " --problems {input.data} {params.policy} --settings {params.settings:q} {params.proxy}"
        " --out {output.spans} > {log} 2>&1"


# What the same completions' steps were truly worth, and each rule's credit for them; only where the
# study asks for it.
rule measure_truth:
    input:
        model=f"{RESULTS}/models/{{model}}",
        proxy=proxy_model,
        adapter=measured_adapter,
        record=measured_record,
        data=rules.prepare_measured.output,
        code=code("measure_truth"),
        rule=measured_rule_code,
    output:
        steps=f"{RESULTS}/credit/{{model}}.steps.jsonl",
        rules=f"{RESULTS}/credit/{{model}}.rules.jsonl",
    log:
        f"{RESULTS}/logs/measure_truth/{{model}}.log",
    conda:
        "../../envs/train.yaml"
    threads: STUDY.resources.measure_credit.threads
    resources:
        gpu=STUDY.resources.measure_credit.gpu,
        mem_mb=scaled("measure_credit", "mem_mb"),
        runtime=scaled("measure_credit", "runtime"),
    params:
        proxy=proxy_flag,
        policy=measured_policy,
        settings=truth_settings,
    shell:
        "HF_HUB_OFFLINE=1 python -m cfdapo.stages.measure_truth --model-dir {input.model}"
        " --problems {input.data} {params.policy} --settings {params.settings:q} {params.proxy}"
        " --out {output.steps} > {log} 2>&1"
