from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/overhead.smk"
include: "workflow/rules/credit.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/divergences.smk"
include: "workflow/rules/credit_map.smk"
include: "workflow/rules/outputs.smk"


localrules:
    all,
    analysis,
    tables,
    figures,


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
