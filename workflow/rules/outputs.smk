# The files that a need of the registry stands for.
NEEDED = {
    "curves": rules.collect_curves.output,
    "comparisons": rules.compare_modes.output,
    # run.json says which history is the run's own.
    "histories": run_files("history.jsonl") + run_files("run.json"),
    "descriptions": run_files("run.json"),
    "profiles": expand(rules.profile_overhead.output, model=MODELS),
    "credit": expand(rules.measure_credit.output, model=MODELS),
    "evaluations": run_files("evaluation.jsonl") + run_files("run.json"),
    "divergences": rules.tabulate_divergences.output,
    "truth": expand(rules.measure_truth.output, model=MODELS),
}


for spec in registry.TABLES:

    rule:
        name:
            spec.name
        input:
            **inputs_of(spec),
            code=output_code("make_table", spec),
        output:
            report(
                table(spec.name),
                caption="../report/output.rst",
                category="Tables",
                labels=report_labels,
            ),
        log:
            f"{RESULTS}/logs/{spec.name}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        params:
            name=spec.name,
            flags=RESULTS_FLAGS,
            caption=spec.caption,
            out=subpath(output[0], parent=True),
        shell:
            "python -m cfdapo.stages.make_table --table {params.name} {params.flags}"
            " --out {params.out} > {log} 2>&1"


for spec in registry.FIGURES:

    rule:
        name:
            spec.name
        input:
            **inputs_of(spec),
            code=output_code("plot_figure", spec),
        output:
            report(
                figure(spec.name),
                caption="../report/output.rst",
                category="Figures",
                labels=report_labels,
            ),
        log:
            f"{RESULTS}/logs/{spec.name}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        params:
            name=spec.name,
            flags=RESULTS_FLAGS,
            caption=spec.caption,
            out=subpath(output[0], parent=True),
        shell:
            "python -m cfdapo.stages.plot_figure --figure {params.name} {params.flags}"
            " --out {params.out} > {log} 2>&1"


rule tables:
    input:
        outputs_of(registry.TABLES),


rule figures:
    input:
        outputs_of(registry.FIGURES),
        CREDIT_MAPS,


# What measured credit alone decides: no training where the study measures the untrained policy.
rule analysis:
    input:
        outputs_of(registry.of_credit_alone(registry.TABLES + registry.FIGURES)),
        CREDIT_MAPS,
