localrules:
    collect_curves,
    compare_modes,


rule collect_curves:
    input:
        evaluations=run_files("evaluation.jsonl"),
        records=run_files("run.json"),
        code=code("collect_curves"),
    output:
        f"{RESULTS}/statistics/curves.csv",
    log:
        f"{RESULTS}/logs/collect_curves.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        runs=subpath(input[0], ancestor=4),
        study=RUN_FLAGS + MISSING_FLAG,
    shell:
        "python -m cfdapo.stages.collect_curves --runs {params.runs} {params.study}"
        " --out {output} > {log} 2>&1"


rule compare_modes:
    input:
        evaluations=run_files("evaluation.jsonl"),
        curves=rules.collect_curves.output,
        code=code("compare_modes"),
    output:
        f"{RESULTS}/statistics/significance.csv",
        f"{RESULTS}/statistics/problem_level.csv",
    log:
        f"{RESULTS}/logs/compare_modes.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        runs=subpath(input[0], ancestor=4),
        study=RUN_FLAGS + MISSING_FLAG,
        folder=subpath(output[0], parent=True),
    shell:
        "python -m cfdapo.stages.compare_modes --curves {input.curves} --runs {params.runs}"
        " {params.study} --out {params.folder} > {log} 2>&1"
