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

# What is measured once a model and is not there yet, where tables are made of what is there.
ABSENT = tuple(
    need
    for need in ("profiles", "credit", "truth", "divergences")
    if PRESENT_ONLY
    and need not in UNMEASURED
    and not all(os.path.lexists(path) for path in NEEDED[need])
)
if ABSENT and workflow.is_main_process:
    every = registry.TABLES + registry.FIGURES
    made = registry.fitting(every, TASK, UNMEASURED + ABSENT)
    left = [s.name for s in registry.fitting(every, TASK, UNMEASURED) if s not in made]
    print(f"left out, for want of {', '.join(ABSENT)}: {', '.join(left)}", file=sys.stderr)


for spec in registry.TABLES:

    rule:
        name:
            spec.name
        input:
            **inputs_of(spec),
            code=output_code("make_table", spec),
        output:
            **table_outputs(spec.name),
        log:
            f"{RESULTS}/logs/{spec.name}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        params:
            name=spec.name,
            flags=results_flags(spec),
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
            flags=results_flags(spec),
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
        [] if "credit" in ABSENT else CREDIT_MAPS,


# What measured credit alone decides: no training where the study measures the untrained policy.
rule analysis:
    input:
        outputs_of(registry.of_credit_alone(registry.TABLES + registry.FIGURES)),
        CREDIT_MAPS,
