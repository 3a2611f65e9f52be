"""Every rule's token advantages, computed by hand on a batch of two groups."""

import copy

import pytest
import torch
import torch.nn.functional as F
from made_rollouts import GOLD, SOLUTIONS, make_rollout, tokenizer

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.edits import distance, unchanged
from cfdapo.credit.reshaping import Reshaping, reshaped
from cfdapo.credit.rule import Rollout, TokenAdvantages
from cfdapo.credit.rules import get_rule, rule_names
from cfdapo.credit.rules.departure import departure
from cfdapo.credit.scoring import Scorer
from cfdapo.credit.states import calculation_states, program_states
from cfdapo.credit.step_words import pair_features
from cfdapo.credit.steps import find_steps, spread


def assign(name: str, rollout: Rollout, **options) -> TokenAdvantages:
    rule = get_rule(name)(tokenizer(), CreditConfig(mode=name, options=options))
    return rule(rollout)


def by_step(rollout: Rollout, given: TokenAdvantages, completion: int) -> list[float]:
    """The advantage of each step, which all of its tokens must have."""
    ids, tokens = rollout.completions[completion], given.advantages[completion]
    steps = find_steps(rollout.texts[completion], ids, tokenizer())
    for step in steps:
        assert tokens[step.tokens].unique().numel() == 1
    return [float(tokens[step.tokens][0]) for step in steps]


def sampled(right: dict[str, int]):
    """A sampler: of n continuations of a start, `right` says how many state the right answer."""

    def sample(prefixes, n):
        found = []
        for prompt, start in prefixes:
            text = tokenizer().decode(start)
            gold = GOLD["Tom" in tokenizer().decode(prompt)]
            answers = [gold] * right.get(text, 0) + ["0"] * (n - right.get(text, 0))
            found.append([tokenizer()(f"#### {answer}")["input_ids"] for answer in answers])
        return found

    return sample


@pytest.fixture
def rollout() -> Rollout:
    return make_rollout(sample=sampled({}))


def test_the_made_batch_is_what_the_hand_computed_values_go_by(rollout):
    assert rollout.rewards.tolist() == [1, 1, 0, 0] * 2
    assert rollout.active() == [True] * 8 and rollout.members() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert rollout.texts == list(SOLUTIONS)


# Promises of every rule -------------------------------------------------------------------------


@pytest.mark.parametrize("name", rule_names())
def test_a_group_whose_rewards_agree_teaches_nothing(name):
    rollout = make_rollout(rewards=[1, 1, 1, 1, 0, 0, 0, 0], sample=sampled({}), **known())
    for advantages, ids in zip(assign(name, rollout).advantages, rollout.completions, strict=True):
        assert advantages.shape == (len(ids),) and advantages.dtype == torch.float32
        assert advantages.eq(0).all()


@pytest.mark.parametrize("name", rule_names())
def test_a_rule_keeps_what_it_says_and_gives_numbers(name):
    rollout = make_rollout(sample=sampled({}), **known())
    given = assign(name, rollout)
    assert all(one.isfinite().all() for one in given.advantages)
    base = [
        torch.full((len(ids),), float(advantage))
        for ids, advantage in zip(rollout.completions, rollout.advantages, strict=True)
    ]
    keeps = get_rule(name).keeps
    units = {"nothing": [], "completion": [[i] for i in range(8)], "group": rollout.members()}
    for unit in units[keeps]:
        masses = [sum(float(one[i].abs().sum()) for i in unit) for one in (given.advantages, base)]
        assert masses[0] == pytest.approx(masses[1], rel=1e-4)
    assert (given.generations > 0) == get_rule(name).generates
    passes = name in ("entropy", "oar_gradient", "oar_perturbation")
    assert (given.passes > 0) == (get_rule(name).measures_drops or passes)
    assert bool(given.credits) >= get_rule(name).measures_drops


@pytest.mark.parametrize("name", rule_names())
def test_a_rule_gives_the_same_twice_and_empty_completions_nothing(name):
    empty = make_rollout(
        rewards=[1, 0, 0, 1], solutions=["", "x", "", "#### 7"], sample=sampled({}), **known(4)
    )
    assign(name, empty)
    twice = [assign(name, make_rollout(sample=sampled({}), **known())) for _ in range(2)]
    for one, other in zip(*(given.advantages for given in twice), strict=True):
        assert torch.equal(one, other)


def known(count: int = 8) -> dict:
    """The columns that the oracle reads, of the two problems."""
    from made_rollouts import QUESTIONS

    results = ([7, 14], [7])
    rows = [
        {
            "answer": GOLD[i // 4],
            "prompt": [{"role": "user", "content": QUESTIONS[i // 4]}],
            "question": QUESTIONS[i // 4],
            "sentences": [{"label": "causal", "result": value} for value in results[i // 4]],
        }
        for i in range(count)
    ]
    return {"rows": rows}


# One by one -------------------------------------------------------------------------------------


def test_siblings_values_in_the_return_form(rollout):
    given = assign("sibling_value", rollout)
    raw = [
        # R - the others' mean, then R - the mean of those that also have {7}, {7, 14}.
        [2 / 3, 1 / 2, 0],
        [2 / 3, 1 / 2, 1 / 2, 0],
        [-2 / 3, 0, 0],
        [-2 / 3, -1, 0],
    ]
    assert proportional(rollout, given, raw, range(4))


def test_siblings_values_in_the_difference_form_add_up(rollout):
    given = assign("sibling_value", rollout, form="difference")
    raw = [
        [1 / 2 - 1 / 3, 1 - 1 / 2, 0],
        [1 / 2 - 1 / 3, 0, 1 - 1 / 2, 0],
        # Nobody else has {5}, so that the value stays until the end.
        [0, 0, 0 - 2 / 3],
        [1 - 2 / 3, 0, 0 - 1],
    ]
    assert proportional(rollout, given, raw, range(4))


def test_siblings_values_shrink_towards_the_siblings_mean(rollout):
    given = assign("sibling_value", rollout, shrink=2.0)
    raw = [[2 / 3, 1 - (1 + 2 / 3) / 4, 1 - (1 + 2 / 3) / 3]]
    assert proportional(rollout, given, raw, [0])


def learner(**options):
    """A `learned_value` that has seen four answers, of which those with a plus were right."""
    rule = get_rule("learned_value")(
        tokenizer(), CreditConfig(mode="learned_value", options=options)
    )
    seen = make_rollout(rewards=[1, 1, 0, 0], solutions=["so + 1", "so + 2", "so - 3", "so - 4"])
    for one, other in zip(rule(seen).advantages, seen.advantages, strict=True):
        torch.testing.assert_close(one, other.expand(len(one)))  # nothing is known yet: DAPO's
    return rule


@pytest.mark.parametrize("trace", [0.0, 0.5, 1.0])
def test_a_learned_value_is_what_steps_said_in_earlier_batches(trace):
    """Centred sums are d/2 and -d/2, d the difference of the two lines, so X X' = m s s' with
    m = d.d/4 and s = (1, 1, -1, -1), whose eigenvalue is 4 m, and y = s/2. With ridge 1
    w = X' s/2 / (4 m + m) = 4/5 d / d.d: a right line is worth 2/5, a wrong one -2/5.
    """
    lines = ["so + 5\nend", "so - 7\nend", "so + 6\nend", "so + 8\nend"]
    rollout = make_rollout(rewards=[1, 0, 0, 0], solutions=lines)
    given = learner(trace=trace, ridge=1.0)(rollout)
    # Half a step is "end", of which nothing is known, and 3 of 4 others have the plus.
    usual = (3 * 0.4 - 0.4) / 8
    raw = []
    for gain, outcome in ((0.4, 0.75), (-0.4, -0.25), (0.4, -0.25), (0.4, -0.25)):
        gains = [gain - usual, -usual]
        raw.append([one + trace * (outcome - sum(gains)) for one in gains])
    assert proportional(rollout, given, raw, range(4))


def test_a_learned_value_forgets_the_oldest_and_is_none_where_nothing_is_known():
    rule = learner(trace=0.0, memory=6)
    rollout = make_rollout(rewards=[1, 0, 0, 0], solutions=["yes", "no", "never", "nor"])
    for one, other in zip(rule(rollout).advantages, rollout.advantages, strict=True):
        torch.testing.assert_close(one, other.expand(len(one)))
    state = rule.state()
    assert state["sums"].shape == (6, 1024) and state["outcomes"].tolist() == [
        *(-0.5, -0.5),
        *(0.75, -0.25, -0.25, -0.25),
    ]
    agreed = make_rollout(rewards=[1, 1, 1, 1], solutions=["yes", "no", "never", "nor"])
    rule(agreed)
    assert torch.equal(rule.state()["sums"], state["sums"])
    rule.load_state({})
    assert rule.state() == {}


def test_pairs_of_words_are_counted_whatever_the_numbers():
    one, same, other = pair_features(["So 9 - 2 = 7.", "so 10 - 1 = 9.", "So 9 + 2 = 11."], 4096)
    # so, -, = and . alone, and six pairs of them; a pair with the sign is another one.
    assert torch.equal(one, same) and float(one.abs().sum()) == 10
    assert float((one - other).abs().sum()) == 2 * (1 + 3)
    assert pair_features(["", "12"], 8).eq(0).all()


def test_monte_carlo_is_the_difference_of_sampled_values():
    right = {"Now 3 + 4 = 7.\n": 3, "Now 3 + 4 = 7.\nSo 7 * 2 = 14.\n": 4}
    rollout = make_rollout(sample=sampled(right))
    given = assign("monte_carlo", rollout, continuations=4, raw=True)
    assert by_step(rollout, given, 0) == pytest.approx([0.75 - 0.5, 1 - 0.75, 1 - 1])
    # The third and fourth begin otherwise and alike: "Now 3 + 4 = 7." is asked once for both.
    assert by_step(rollout, given, 3) == pytest.approx([0.75 - 0.5, 0 - 0.75, 0])
    # So is "So 9 - 2 = 7.", which begins two solutions of the second group.
    assert given.generations == 4 * (2 + 3 + 2 + 1 + 1 + 2 + 1 + 1)


def test_monte_carlo_stays_within_its_budget_but_asks_every_prefix(rollout):
    assert assign("monte_carlo", rollout, continuations=8, budget=30).generations == 2 * 13
    assert assign("monte_carlo", rollout, continuations=8, budget=1).generations == 13


def test_the_oracle_blames_the_first_wrong_line():
    rollout = make_rollout(**known())
    given = assign("oracle", rollout)
    good, bad = float(rollout.advantages[0]), float(rollout.advantages[2])
    raw = [[good, good, good], [good, 0, good, good], [bad, 0, 0], [good, bad, 0]]
    assert proportional(rollout, given, raw, range(4))
    raw = [[good, good], [0, good, good], [bad, 0], [good, bad, 0]]
    assert proportional(rollout, given, raw, range(4, 8))


def test_a_departure_is_blamed_where_the_oracle_sees_the_first_wrong_line(rollout):
    given = assign("departure", rollout)
    for one, known_ones in zip(
        given.advantages, assign("oracle", make_rollout(**known())).advantages, strict=True
    ):
        assert torch.equal(one, known_ones)


@pytest.mark.parametrize(
    ("states", "blamed"),
    [
        ("aax", 2),  # The second step says nothing new.
        ("axy", 1),  # What comes behind the departure is not looked at, unless it
        ("axb", 3),  # comes back: then nothing is left to blame but the answer.
        ("", 0),
        ("x", 0),
    ],
)
def test_a_departure_is_the_first_step_behind_the_last_shared_state(states, blamed):
    def after(letters: str) -> list:
        return ["start", *(frozenset(letters[: n + 1]) for n in range(len(letters)))]

    worked_out = after(states)
    stated = [*worked_out, worked_out[-1]]
    ground = {"start", frozenset("a"), frozenset("ab"), frozenset("abx")}
    assert departure(stated, ground, len(states)) == blamed


@pytest.mark.parametrize(
    ("rewards", "signs"),
    [
        # The best is right, the middle one is DAPO's 0.
        ([1, 0.5, 0, 0.5], ["+++", "0000", "-00", "000"]),
        # Above 0 and not the best: praised up to where it leaves the best one, and not blamed.
        ([0.6, 0, 0, 1], ["+00", "+0-0", "-00", "+++"]),
        # Hardly below 0: hardly anything, be it praise or blame.
        ([1, 0.3, 0, 0], ["+++", "+0+-", "-00", "+-0"]),
        # How much the best earned, the rule does not know.
        ([0.1, 0, 0, 0], ["+++", "+0+-", "-00", "+-0"]),
    ],
)
def test_of_graded_rewards_the_best_are_right_and_others_count_by_their_advantage(rewards, signs):
    rollout = make_rollout(rewards=[*rewards, 0, 0, 0, 0])
    given = assign("departure", rollout)
    steps = [by_step(rollout, given, i) for i in range(4)]
    found = ["".join("-0+"[(value > 0) - (value < 0) + 1] for value in one) for one in steps]
    assert found == signs
    own = rollout.advantages[:4].tolist()
    sizes = []
    for one, advantage in zip(steps, own, strict=True):
        # Of failed completions praise counts for as much as blame.
        share = advantage / (max(own) if advantage > 0 else min(own))
        sizes += [value / share / (max(own) if value > 0 else -min(own)) for value in one if value]
    assert [abs(size) for size in sizes] == pytest.approx([sizes[0]] * len(sizes), rel=1e-3)


def test_the_line_that_states_the_answer_is_praised_or_blamed_and_no_chatter_behind_it():
    chatty = [f"{text}\nThis is easy.\n\nMia is 3." for text in SOLUTIONS[:3]]
    rollout = make_rollout(solutions=[*chatty, "Now 3 + 4 = 7.\nSo 7 * 2 = 14.\n#### 15\nBye."])
    given = assign("departure", rollout)
    plus, minus = by_step(rollout, given, 0)[0], by_step(rollout, given, 3)[2]
    assert plus > 0 > minus
    assert by_step(rollout, given, 0) == [plus, plus, plus, 0, 0]
    assert by_step(rollout, given, 1) == [plus, 0, plus, plus, 0, 0]
    assert by_step(rollout, given, 2) == [minus, 0, 0, 0, 0]
    assert by_step(rollout, given, 3) == [plus, plus, minus, 0]


def test_of_programs_the_wrong_builtin_is_blamed_and_not_the_fence():
    text = "```python\ndef f(a):\n    return {}(a)\n```"
    rollout = make_rollout(
        rewards=[1, 0],
        solutions=[text.format("max"), text.format("min")],
        group=2,
        rows=[{"function": "f"}] * 2,
    )
    rule = get_rule("departure")(tokenizer(), CreditConfig(mode="departure", spans="code"))
    given = rule(rollout)
    for index, sign in enumerate((1, -1)):
        steps = by_step(rollout, given, index)
        assert steps[2] * sign > 0 and [steps[n] for n in (0, 1, 3)] == [0, 0, 0]


def test_a_drawn_departure_blames_any_step_that_works_something_out():
    rollout = make_rollout()
    drawn = [by_step(rollout, assign("departure", rollout, drawn=True), 3) for _ in range(20)]
    kinds = {tuple((value > 0) - (value < 0) for value in one) for one in drawn}
    assert kinds == {(-1, 0, 0), (1, -1, 0)}
    found = assign("departure", rollout).advantages[0]
    # A right completion's own credit is another by the group's scale alone.
    assert torch.equal(assign("departure", rollout, drawn=True).advantages[0].sign(), found.sign())


def test_a_departure_that_only_blames_praises_no_step_of_a_failed_completion():
    rollout = make_rollout()
    whole, blames = (assign("departure", rollout, blame_only=only) for only in (False, True))
    for index, advantage in enumerate(rollout.advantages):
        kept = whole.advantages[index].sign()
        expected = kept if advantage > 0 else kept.clamp(max=0)
        assert torch.equal(blames.advantages[index].sign(), expected)
    praised = [bool((one > 0).any()) for one in whole.advantages]
    assert any(praised[i] for i, advantage in enumerate(rollout.advantages) if advantage < 0)
    # What is left has the whole of the first group's mass.
    masses = [
        sum(float(one.abs().sum()) for one in given.advantages[:4]) for given in (whole, blames)
    ]
    assert masses[0] == pytest.approx(masses[1])


def test_a_balanced_departure_praises_and_blames_as_much_as_dapo_does():
    rollout = make_rollout()
    given = assign("departure", rollout, balanced=True).advantages
    whole = assign("departure", rollout).advantages
    plain = [
        a.expand(len(ids)) for a, ids in zip(rollout.advantages, rollout.completions, strict=True)
    ]
    for group in (slice(0, 4), slice(4, 8)):
        for sign in (1, -1):
            sums = [
                sum(float((sign * one).clamp(min=0).sum()) for one in credit[group])
                for credit in (given, plain)
            ]
            assert sums[0] == pytest.approx(sums[1], rel=1e-5) and sums[1] > 0
    assert all(torch.equal(a.sign(), b.sign()) for a, b in zip(given, whole, strict=True))
    praise = [sum(float(one.clamp(min=0).sum()) for one in credit[:4]) for credit in (whole, plain)]
    assert praise[0] > praise[1]


def test_edits_get_the_credit_beside_the_nearest_sibling_of_the_other_outcome(rollout):
    given = assign("ibpo_edit", rollout)
    # Five digits differ in either wrong sibling; of equally near ones the first counts.
    ids = rollout.completions
    assert distance(ids[0], ids[2]) == distance(ids[0], ids[3]) == 5
    kept = torch.tensor(unchanged(ids[0], ids[2]))
    assert int((~kept).sum()) == 5
    weights = given.advantages[0] / rollout.advantages[0]
    assert weights[kept].unique().numel() == weights[~kept].unique().numel() == 1
    assert float(weights[~kept][0] / weights[kept][0]) == pytest.approx(10)
    assert float(weights.mean()) == pytest.approx(1)


def test_a_revision_that_is_right_gives_a_part_of_the_reward_and_its_edits_the_credit():
    asked = []

    def sample(prefixes, n):
        asked.extend(tokenizer().decode(prompt) for prompt, start in prefixes)
        # The first wrong solution of the first group is set right, all others stay wrong.
        right = tokenizer()(SOLUTIONS[0])["input_ids"] + [tokenizer().eos_token_id]
        return [[right if i == 0 else [5]] for i in range(len(prefixes))]

    rollout = make_rollout(sample=sample)
    given = assign("ibpo_revision", rollout)
    assert given.generations == 4 == len(asked)
    assert SOLUTIONS[2] in asked[0] and SOLUTIONS[0] in asked[0]
    rewards = torch.tensor([1.0, 1.0, 0.3, 0.0])
    base = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    torch.testing.assert_close(given.advantages[0], base[0].expand(len(rollout.completions[0])))
    kept = torch.tensor(unchanged(rollout.completions[2], rollout.completions[0]))
    expected = torch.where(kept, 0.0, base[2])
    torch.testing.assert_close(given.advantages[2], expected)
    # In the second group nothing was set right: all of it is DAPO's.
    for i in range(4, 8):
        assert given.advantages[i].unique().tolist() == [float(rollout.advantages[i])]


def test_only_the_most_uncertain_tokens_learn(rollout):
    given = assign("entropy", rollout, top=0.25)
    weights = torch.cat(given.weights)
    count = round(0.25 * len(weights))
    assert int(weights.gt(0).sum()) == count and float(weights.mean()) == pytest.approx(1)
    other = torch.cat(assign("entropy", rollout, top=0.25, normalizer="all").weights)
    assert torch.equal(other, weights.gt(0).float())


def test_reshaped_weights_by_hand():
    """log(1 + s) is 0, 1, 2, 3, 4: shares 0, 1/4, 1/2, 3/4, 1, whose lower quarter ends at 1/4."""
    given = torch.tensor([2.0, 0.0, 4.0, 1.0, 3.0]).exp() - 1
    weights = reshaped(given, Reshaping.Options(beta=0.6, keep_sum=False))
    torch.testing.assert_close(weights, torch.tensor([1.2, 0.1, 1.6, 1.0, 1.4]))
    # The quantile 0.4 is at 0.4; below it a weight is the share's part of that, or the floor.
    low = reshaped(given, Reshaping.Options(quantile=0.4, floor=0.3, keep_sum=False))
    wanted = [1 + 0.1 / 0.6, 0.3, 2.0, 0.25 / 0.4, 1 + 0.35 / 0.6]
    torch.testing.assert_close(low, torch.tensor(wanted))
    torch.testing.assert_close(reshaped(given, Reshaping.Options()).sum(), torch.tensor(5.0))
    for equal in (torch.zeros(4), torch.full((4,), 2.5), torch.ones(1)):
        assert reshaped(equal, Reshaping.Options()).eq(1).all()


@pytest.mark.parametrize("name", ["oar_gradient", "oar_perturbation"])
def test_only_what_stands_before_a_stated_answer_is_reshaped(name):
    texts = ["Now 3 + 4 = 7.\n#### 14", "Nobody knows.", "#### 10", "So 9 - 2 = 7.\n#### 7"]
    rollout = make_rollout(rewards=[1, 0, 0, 1], solutions=texts, **known(4))
    given = assign(name, rollout)
    answer = tokenizer()("14")["input_ids"]
    assert given.weights[0][-len(answer) - 1 :].eq(1).all() and not given.weights[0].eq(1).all()
    assert given.weights[1].eq(1).all()
    sequences = [len(ids) - len(answer) - 1 for ids in rollout.completions[:1]]
    # Of the third nothing but the answer's mark stands before it.
    if name == "oar_gradient":
        assert given.passes == 3
    else:
        before = sequences[0] + sum(_before_answer(rollout, i) for i in (2, 3))
        assert given.passes == 2 * 3 and given.tokens > before


def _before_answer(rollout: Rollout, index: int) -> int:
    return len(tokenizer()(rollout.texts[index].rsplit(" ", 1)[0])["input_ids"])


def test_a_gradient_s_sensitivity_is_what_a_small_change_of_an_embedding_does(rollout):
    rule = get_rule("oar_gradient")(tokenizer(), CreditConfig(mode="oar_gradient"))
    prompt, ids, answer = rollout.prompts[0], rollout.completions[0], answer_of(rollout, 0)
    scorer = Scorer(rollout.policy)
    found = rule.sensitivities(scorer, prompt, ids, answer)
    assert found.shape == (answer.start,) and scorer.passes == 1
    read = torch.tensor([[*prompt, *ids[: answer.stop]]])
    # Its norms stay in float32, so that smaller steps drown in rounding.
    exact = copy.deepcopy(rollout.policy).double().requires_grad_(False)
    embedded = exact.get_input_embeddings()(read[:, :-1])
    for token in range(answer.start):
        ends = []
        for step in (0.03, -0.03):
            changed = embedded.clone()
            changed[0, len(prompt) + token] *= 1 + step
            logits = exact(inputs_embeds=changed).logits[0, -2:].log_softmax(-1)
            ends.append(float(logits.gather(1, read[0, -2:, None]).mean()))
        slope = (ends[0] - ends[1]) / 0.06
        assert float(found[token]) == pytest.approx(abs(slope), rel=0.02, abs=1e-5)


def test_a_perturbation_s_sensitivity_is_the_divergence_of_the_answer(rollout):
    config = CreditConfig(mode="oar_perturbation", token_budget=100)
    rule = get_rule("oar_perturbation")(tokenizer(), config)
    prompt, ids, answer = rollout.prompts[0], rollout.completions[0], answer_of(rollout, 0)
    with torch.no_grad():
        found = rule.sensitivities(Scorer(rollout.policy), prompt, ids, answer)
        assert found.shape == (answer.start,) and found.min() >= 0 and found.max() > 1e-4
        read = torch.tensor([[*prompt, *ids[: answer.stop]]])
        whole = rollout.policy(input_ids=read).logits[0, -3:-1].log_softmax(-1)
        for token in range(answer.start):
            changed = read.clone()
            changed[0, len(prompt) + token] = tokenizer().pad_token_id
            other = rollout.policy(input_ids=changed).logits[0, -3:-1].log_softmax(-1)
            divergence = F.kl_div(other, whole, reduction="batchmean", log_target=True)
            assert float(found[token]) == pytest.approx(float(divergence), abs=2e-6)


def answer_of(rollout: Rollout, index: int) -> slice:
    """The two tokens of the answer, in front of the end-of-text token."""
    end = len(rollout.completions[index]) - 1
    return slice(end - 2, end)


def test_shuffled_weights_are_the_same_numbers_on_other_spans():
    one = assign("counterfactual", make_rollout())
    found = 0
    for seed in range(6):
        other = assign("shuffled", make_rollout(generator=torch.Generator().manual_seed(seed)))
        for mine, theirs in zip(one.credits, other.credits, strict=True):
            values = [sorted(float(c.weights[t][0]) for t in c.tokens) for c in (mine, theirs)]
            assert values[0] == pytest.approx(values[1])
            found += not torch.equal(mine.weights, theirs.weights)
    assert found > 3


@pytest.mark.parametrize("name", ["shuffled", "budgeted_inverse"])
def test_a_rule_that_weighs_as_another_mode_refuses_options_all_the_same(name):
    config = CreditConfig(mode=name, options={"share": 0.5})
    with pytest.raises(ValueError, match=f"options of {name}: unknown share; allowed: none"):
        get_rule(name)(None, config)


def test_a_budgeted_inverse_falls_where_counterfactual_rises_and_keeps_the_sum():
    one, other = (assign(name, make_rollout()) for name in ("counterfactual", "budgeted_inverse"))
    compared = 0
    for rising, falling in zip(one.credits, other.credits, strict=True):
        for first in rising.tokens:
            for second in rising.tokens:
                rise = float(rising.weights[first][0] - rising.weights[second][0])
                fall = float(falling.weights[first][0] - falling.weights[second][0])
                assert rise * fall <= 0
                compared += rise != 0
    assert compared


# Parts ------------------------------------------------------------------------------------------


def test_steps_are_lines_and_tile_the_tokens():
    text = "\nMia has 3.\n\n  So 3 + 4 = 7.\n#### 7\n\n"
    ids = [*tokenizer()(text)["input_ids"], tokenizer().eos_token_id]
    steps = find_steps(text, ids, tokenizer())
    assert [text[step.start : step.end].strip() for step in steps] == [
        "Mia has 3.",
        "So 3 + 4 = 7.",
        "#### 7",
    ]
    stops = [step.tokens.stop for step in steps]
    assert [step.tokens.start for step in steps] == [0, *stops[:-1]] and stops[-1] == len(ids)
    assert tokenizer().decode(ids[steps[1].tokens]).strip() == "So 3 + 4 = 7."
    assert spread(steps, [1, 2, 3], len(ids)).unique().tolist() == [1, 2, 3]


def test_states_of_calculations_and_programs():
    text = "So 1,000 + 500 = 1500.\nThat is nice.\nNow 1500 * 2 = 3000.0\n#### 3000"
    states = calculation_states(text, lines(text))
    assert [sorted(map(int, state)) for state in states] == [
        [1500],
        [1500],
        [1500, 3000],
        [1500, 3000],
    ]
    assert set.union(*map(set, calculation_states(RESULTS, lines(RESULTS)))) == {
        *("-4", "0.5", "1/3", "15.5", "12000")
    }
    one = "def f(a, b):\n x = a + b\n y = x * 2\n return y"
    other = "def f(p, q):\n r = p + q\n s = r * 3\n return s"
    ours, theirs = (program_states(text, lines(text)) for text in (one, other))
    assert ours[0] == theirs[0] == () and ours[1] == theirs[1] and ours[2] != theirs[2]
    # The states are those of what is graded, whatever another block defines.
    block = "```python\ndef {}(x):\n    return x + {}\n```\n"
    graded, changed = (f"{block.format('f', n)}{block.format('g', 1)}" for n in (1, 2))
    assert program_states(graded, lines(graded), "f") != program_states(
        changed, lines(changed), "f"
    )


RESULTS = """She has 3 - 7 = -4 left. That is 2 / 4 = 1/2 of it.
Each gets 5 / 15 = 1/3. Then 31 / 2 = $15.50, and 6 * 2000 = 12,000 pounds.
So 2 * 0.25 is .5 pounds, or 31 / 2 ≈ 15.5, or 24000 \\div 2 \\approx 12 000."""


def lines(text: str):
    from cfdapo.credit.steps import Step

    found, start = [], 0
    for line in text.split("\n"):
        found.append(Step(start, start + len(line), slice(0, 0)))
        start += len(line) + 1
    return found


@pytest.mark.parametrize(
    ("one", "other", "edits", "kept"),
    [
        # k -> s, e -> i, and a g behind: what stays is itt and n.
        ("kitten", "sitting", 3, "011101"),
        ("", "abc", 3, ""),
        ("abc", "", 3, "000"),
        ("abc", "abc", 0, "111"),
        ("abcd", "bcd", 1, "0111"),
    ],
)
def test_levenshtein(one, other, edits, kept):
    ids = [[ord(letter) for letter in word] for word in (one, other)]
    assert distance(*ids) == edits
    assert "".join("1" if same else "0" for same in unchanged(*ids)) == kept


def proportional(rollout, given, raw, completions) -> bool:
    """Whether the steps' advantages are those by hand times one positive number for the group."""
    found = [value for i in completions for value in by_step(rollout, given, i)]
    wanted = [value for steps in raw for value in steps]
    (scale,) = {round(f / w, 4) for f, w in zip(found, wanted, strict=True) if w} or {1.0}
    return scale > 0 and all(
        f == pytest.approx(w * scale, abs=1e-4) for f, w in zip(found, wanted, strict=True)
    )
