localrules:
    begin_evolution,
    next_generation,
    tabulate_divergences,


SEARCHED = f"{EVOLUTION}/generation{STUDY.evolution and STUDY.evolution.generations}.json"
EVOLVED = any(one.mirror and one.mirror.evolved for one in divergences(STUDY).values())


# A generation's members are jobs; the next generation follows from their fitness. The last one's
# file has the neural mirror that was found.
rule begin_evolution:
    input:
        code=code("evolve"),
    output:
        f"{EVOLUTION}/generation0.json",
    log:
        f"{RESULTS}/logs/evolve/{{model}}/generation0.log",
    conda:
        "../../envs/train.yaml"
    params:
        settings=member_settings,
    shell:
        "python -m cfdapo.stages.evolve --settings {params.settings:q} --out {output} > {log} 2>&1"


rule try_member:
    input:
        model=f"{RESULTS}/models/{{model}}",
        data=f"{RESULTS}/data/train.jsonl",
        search=f"{EVOLUTION}/generation{{generation}}.json",
        code=code("evolve"),
    output:
        f"{EVOLUTION}/generation{{generation}}.member{{member}}.json",
    log:
        f"{RESULTS}/logs/evolve/{{model}}/generation{{generation}}.member{{member}}.log",
    wildcard_constraints:
        generation=r"\d+",
        member=r"\d+",
    conda:
        "../../envs/train.yaml"
    threads: STUDY.resources.train.threads
    resources:
        gpu=STUDY.resources.train.gpu,
        mem_mb=scaled("train", "mem_mb"),
        runtime=scaled("train", "runtime"),
    params:
        settings=member_settings,
    shell:
        "HF_HUB_OFFLINE=1 python -m cfdapo.stages.evolve --settings {params.settings:q}"
        " --search {input.search} --member {wildcards.member} --model {wildcards.model}"
        " --model-dir {input.model} --problems {input.data} --out {output} > {log} 2>&1"


rule next_generation:
    input:
        unpack(generation_before),
        code=code("evolve"),
    output:
        f"{EVOLUTION}/generation{{generation}}.json",
    log:
        f"{RESULTS}/logs/evolve/{{model}}/generation{{generation}}.log",
    wildcard_constraints:
        generation=r"[1-9]\d*",
    conda:
        "../../envs/train.yaml"
    params:
        settings=member_settings,
    shell:
        "python -m cfdapo.stages.evolve --settings {params.settings:q} --search {input.search}"
        " --tried {input.tried} --out {output} > {log} 2>&1"


# What the penalties of a study's modes are like; it knows no run.
rule tabulate_divergences:
    input:
        searches=expand(SEARCHED, model=MODELS) if EVOLVED else [],
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
        searches=lambda wildcards, input: (
            f" --mirrors {' '.join(input.searches)}" if EVOLVED else ""
        ),
    shell:
        "python -m cfdapo.stages.tabulate_divergences --models {params.models}"
        " --divergences {params.divergences:q}{params.searches} --out {output} > {log} 2>&1"
