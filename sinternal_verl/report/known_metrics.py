"""The metrics that this package and verl 0.9.1 log, with the chart that each stands on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OfASource:
    """A figure that is logged for each data source; its chart has a line for each source.

    Attributes:
        kind: of the chart's id.
        name: of the metric, after the source.
    """

    kind: str
    name: str
    section: str
    title: str
    unit: str
    note: str = ""


@dataclass(frozen=True)
class OfTheRun:
    """A chart of metrics of the whole run.

    Attributes:
        kind: of the chart's id.
        lines: for each line its label, its metric, and the metric of validations where there is one.
    """

    kind: str
    section: str
    title: str
    unit: str
    lines: tuple[tuple[str, ...], ...]
    note: str = ""


OF_A_SOURCE = (
    OfASource("reward", "reward/mean", "Reward", "Reward", "reward", "Mean of the scored rows."),
    OfASource("safe", "report/safe", "Safety", "Safe share", "share", "Of the guard's verdicts; a refusal is safe."),
    OfASource(
        "refused",
        "refused",
        "Safety",
        "Refused benign prompts",
        "share",
        "Its rise is the first sign that a policy learns to refuse everything.",
    ),
    OfASource(
        "safe_probability",
        "safe_probability/mean",
        "Safety",
        "The guard's probability of Safe",
        "share",
        "How sure the guard is.",
    ),
    OfASource("response_length", "response_length/mean", "Length", "Length of responses", "tokens"),
    OfASource(
        "truncated",
        "truncated",
        "Length",
        "Truncated responses",
        "share",
        "Share of the responses that fill the whole length, so that their thought or answer is cut.",
    ),
    OfASource("scored", "scored", "Failures", "Scored share", "share", "The others are failures, not verdicts."),
    OfASource("missing", "missing", "Failures", "Responses that never came", "responses"),
    OfASource(
        "cut",
        "cut",
        "Failures",
        "Conversations too long for the guard",
        "share",
        "The guard saw only a part of them.",
    ),
    OfASource("rows", "rows", "Groups", "Responses of a step", "responses"),
)

OF_GROUPS = (
    OfASource(
        "alike", "", "Groups", "Groups without spread", "share", "Where all rewards are alike, nothing is learned."
    ),
    OfASource("unsolved", "", "Groups", "Groups that are all wrong", "share", "No response has a reward above 0."),
    OfASource(
        "length_and_reward",
        "",
        "Groups",
        "Correlation of length and reward within groups",
        "",
        "Above 0, longer responses get more reward.",
    ),
)
"""What `sinternal_verl.report.derived` reckons of the groups of each source."""

GRPO = (
    OfTheRun(
        "entropy",
        "Policy",
        "Entropy",
        "nats",
        (("entropy", "actor/entropy"),),
        "Near 0 the policy always writes the same, and groups have no spread.",
    ),
    OfTheRun(
        "grad_norm", "Policy", "Gradient norm", "", (("gradient norm", "actor/grad_norm"),), "Before it is clipped."
    ),
    OfTheRun("lr", "Policy", "Learning rate", "", (("learning rate", "actor/lr"),)),
    OfTheRun("loss", "Policy", "Loss", "", (("loss", "actor/loss"), ("policy gradient", "actor/pg_loss"))),
    OfTheRun(
        "clipfrac",
        "Policy",
        "Clipped tokens",
        "share",
        (("clipped", "actor/pg_clipfrac"), ("clipped below", "actor/pg_clipfrac_lower")),
        "Share of the tokens whose ratio was clipped in the update.",
    ),
    OfTheRun(
        "mismatch",
        "Policy",
        "KL between rollout and trainer",
        "nats",
        (("KL", "rollout_corr/kl"), ("k3 estimate", "rollout_corr/k3_kl")),
        "vLLM and the trainer run the same weights, so this stays near 0.",
    ),
    OfTheRun(
        "probs_diff",
        "Policy",
        "Probabilities of rollout and trainer",
        "",
        (("mean difference", "training/rollout_probs_diff_mean"), ("largest", "training/rollout_probs_diff_max")),
    ),
    OfTheRun(
        "kl",
        "Policy",
        "KL of the policy",
        "nats",
        (("to the last step", "actor/ppo_kl"), ("to the reference, in the loss", "actor/kl_loss")),
    ),
    OfTheRun(
        "advantages",
        "Groups",
        "Advantages",
        "",
        (("mean", "critic/advantages/mean"), ("highest", "critic/advantages/max"), ("lowest", "critic/advantages/min")),
    ),
    OfTheRun(
        "length_range",
        "Length",
        "Range of lengths",
        "tokens",
        (("longest", "response_length/max"), ("shortest", "response_length/min"), ("prompts", "prompt_length/mean")),
    ),
    OfTheRun(
        "failures",
        "Failures",
        "Responses without a score",
        "responses",
        (
            ("without a score", "training/failures/unscored"),
            ("set aside", "training/failures/set_aside"),
            ("never came", "training/failures/missing"),
        ),
    ),
    OfTheRun("throughput", "Time", "Tokens per second and GPU", "tokens", (("tokens", "perf/throughput"),)),
    OfTheRun("mfu", "Time", "Model FLOP utilization", "share", (("update", "perf/mfu/actor"),)),
    OfTheRun(
        "guard_latency",
        "Guard",
        "Latency of the guard",
        "seconds",
        (("mean", "guard/latency/mean"), ("p99", "guard/latency/p99"), ("longest", "guard/latency/max")),
        "What the guard takes for a sample, once it has admitted it.",
    ),
    OfTheRun(
        "guard_wait",
        "Guard",
        "Wait for the guard",
        "seconds",
        (("mean", "guard/wait/mean"), ("longest", "guard/wait/max")),
        "How long a sample waits for its turn.",
    ),
    OfTheRun(
        "guard_queue",
        "Guard",
        "Queue of the guard",
        "samples",
        (("mean", "guard/queue/mean"), ("longest", "guard/queue/max")),
    ),
    OfTheRun("guard_requests", "Guard", "Samples that asked the guard", "samples", (("samples", "guard/requests"),)),
    OfTheRun("guard_throughput", "Guard", "Verdicts per second", "", (("verdicts", "guard/throughput"),)),
    OfTheRun(
        "memory",
        "Memory",
        "Memory",
        "GB",
        (
            ("GPU, allocated", "actor/perf/max_memory_allocated_gb"),
            ("GPU, reserved", "actor/perf/max_memory_reserved_gb"),
            ("host", "actor/perf/cpu_memory_used_gb"),
            ("GPU, allocated", "perf/max_memory_allocated_gb"),
            ("GPU, reserved", "perf/max_memory_reserved_gb"),
            ("host", "perf/cpu_memory_used_gb"),
        ),
    ),
)

SFT = (
    OfTheRun("sft_loss", "Loss", "Loss", "nats", (("loss", "train/loss", "val/loss"),)),
    OfTheRun("sft_grad_norm", "Loss", "Gradient norm", "", (("gradient norm", "train/grad_norm"),), "Before clipping."),
    OfTheRun("sft_lr", "Loss", "Learning rate", "", (("learning rate", "train/lr"),)),
    OfTheRun("sft_tokens", "Time", "Tokens of a step", "tokens", (("tokens", "train/global_tokens"),)),
    OfTheRun("sft_mfu", "Time", "Model FLOP utilization", "share", (("update", "train/mfu"),)),
    OfTheRun(
        "memory",
        "Memory",
        "Memory",
        "GB",
        (
            ("GPU, allocated", "perf/max_memory_allocated_gb"),
            ("GPU, reserved", "perf/max_memory_reserved_gb"),
            ("host", "perf/cpu_memory_used_gb"),
        ),
    ),
)

VERLS_OTHER = (
    *("actor/*", "critic/*", "training/*", "validation/*", "perf/*", "timing_s/*", "timing_per_token_ms/*"),
    *("rollout_corr/*", "response/*", "response_length/*", "response_length_non_aborted/*", "prompt_length/*"),
    *("global_seqlen/*", "num_turns/*", "val-core/*", "val-aux/*", "fully_async/*", "train/total_tokens*"),
)
"""Patterns of the other names that verl logs. (verl 0.9.1)"""
