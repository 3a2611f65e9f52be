rule profile_overhead:
    input:
        model=f"{RESULTS}/models/{{model}}",
        proxy=proxy_model,
        data=f"{RESULTS}/data/train.jsonl",
        code=code("profile_overhead"),
        own=profiled_code,
    output:
        f"{RESULTS}/overhead/{{model}}.json",
    log:
        f"{RESULTS}/logs/profile_overhead/{{model}}.log",
    conda:
        "../../envs/train.yaml"
    threads: STUDY.resources.profile_overhead.threads
    resources:
        gpu=STUDY.resources.profile_overhead.gpu,
        mem_mb=scaled("profile_overhead", "mem_mb"),
        runtime=scaled("profile_overhead", "runtime"),
    params:
        proxy=proxy_flag,
        settings=overhead_settings,
    shell:
        "HF_HUB_OFFLINE=1 python -m cfdapo.stages.profile_overhead --model {wildcards.model}"
        " --model-dir {input.model} --problems {input.data} --settings {params.settings:q}"
        " {params.proxy} --out {output} > {log} 2>&1"
