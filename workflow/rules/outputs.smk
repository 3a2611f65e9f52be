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

# The same of a further test set.
SET_NEEDED = {
    "curves": rules.collect_set_curves.output,
    "comparisons": rules.compare_modes_on_set.output,
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


for spec, of_set in with_sets(registry.TABLES):

    rule:
        name:
            registry.set_rule(spec) if of_set else spec.name
        input:
            **inputs_of(spec, of_set),
            code=output_code("make_table", spec),
        output:
            **table_outputs(spec.name, of_set),
        log:
            f"{LOGS_OF_SET if of_set else LOGS}/{spec.name}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        params:
            name=spec.name,
            flags=set_results_flags if of_set else results_flags(spec),
            caption=spec.caption,
            out=subpath(output[0], parent=True),
        shell:
            "python -m cfdapo.stages.make_table --table {params.name} {params.flags}"
            " --out {params.out} > {log} 2>&1"


for spec, of_set in with_sets(registry.FIGURES):

    rule:
        name:
            registry.set_rule(spec) if of_set else spec.name
        input:
            **inputs_of(spec, of_set),
            code=output_code("plot_figure", spec),
        output:
            report(
                figure(spec.name, SET if of_set else RESULTS),
                caption="../report/output.rst",
                category="Test set {set}" if of_set else "Figures",
                labels=report_labels,
            ),
        log:
            f"{LOGS_OF_SET if of_set else LOGS}/{spec.name}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        params:
            name=spec.name,
            flags=set_results_flags if of_set else results_flags(spec),
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
