localrules:
    collect_curves,
    compare_modes,
    collect_set_curves,
    compare_modes_on_set,


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


# The same of a further test set.
use rule collect_curves as collect_set_curves with:
    input:
        evaluations=set_files,
        records=set_records,
        code=code("collect_curves"),
    output:
        f"{SET}/statistics/curves.csv",
    log:
        f"{LOGS_OF_SET}/collect_curves.log",
    params:
        runs=f"{RESULTS}/runs",
        study=set_study_flags,


use rule compare_modes as compare_modes_on_set with:
    input:
        evaluations=set_files,
        curves=rules.collect_set_curves.output,
        code=code("compare_modes"),
    output:
        f"{SET}/statistics/significance.csv",
        f"{SET}/statistics/problem_level.csv",
    log:
        f"{LOGS_OF_SET}/compare_modes.log",
    params:
        runs=f"{RESULTS}/runs",
        study=set_study_flags,
        folder=subpath(output[0], parent=True),
