"""A known machine is learned; a machine that changes its mind is a finding; what was asked is not asked again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from learn.machines import COFFEE, Machine, lock

from conformance.learn import files, learner
from conformance.learn.cache import ROUNDS, Cache, ResumeError
from conformance.learn.learner import Effort, learn, rehearsed
from conformance.learn.model import apart, differences, identifiers, transition_cover, wp_suite

pytest.importorskip("aalpy")


@pytest.mark.parametrize("model", [COFFEE, lock(4), lock(6)], ids=["coffee", "lock4", "lock6"])
def test_a_known_machine_is_learned(model):
    machine = Machine(model)
    learned = learn(Cache(machine.ask), model.letters, Effort(words=300, depth=2))
    assert learned.finished
    assert len(learned.model) == len(model)
    assert apart(learned.model, model, model.letters) is None


def test_depth_finds_what_less_depth_misses():
    model = lock(5)
    shallow = learn(Cache(Machine(model).ask), model.letters, Effort(words=0, depth=0))
    deep = learn(Cache(Machine(model).ask), model.letters, Effort(words=0, depth=4))
    assert len(shallow.model) < len(model)
    assert apart(deep.model, model, model.letters) is None


@pytest.mark.parametrize(("afforded", "depth"), [(1e9, 1), (0.0, 0)])
def test_without_a_depth_it_goes_as_deep_as_can_be_afforded_and_says_so(monkeypatch, afforded, depth):
    monkeypatch.setattr(learner, "AFFORDED", afforded)
    learned = learn(Cache(Machine(COFFEE).ask), COFFEE.letters, Effort(words=100))
    assert learned.depth == depth
    assert f"{len(COFFEE)}+{depth} states" in learned.proof
    assert ("--depth 1" in learned.proof) == (depth == 0)


def test_each_hypothesis_is_asked_random_words_of_its_own():
    def search(seed):
        return learner._Search(Cache(Machine(COFFEE).ask), COFFEE.letters, Effort(seed=seed), learner.Progress())

    asked = search(1)
    first, second = list(asked._random(COFFEE, 30)), list(asked._random(COFFEE, 30))
    assert first != second
    again = search(1)  # a run that goes on asks the same
    assert [*again._random(COFFEE, 30), *again._random(COFFEE, 30)] == [*first, *second]
    assert list(search(2)._random(COFFEE, 30)) != first


def test_what_was_asked_before_refutes_a_model():
    cache = Cache(Machine(COFFEE).ask)
    cache.ask(("water", "coin", "button", "coin"))
    assert cache.refuted(COFFEE) is None
    wrong = COFFEE.ordered()
    wrong.edges[2]["button"] = ("tea", wrong.edges[2]["button"][1])
    assert cache.refuted(wrong) == ("water", "coin", "button")


def test_after_a_final_answer_nothing_is_asked():
    machine = Machine(COFFEE)
    cache = Cache(machine.ask, final=("back",))
    cache.ask(("coin",))
    assert cache.ask(("coin", "water", "coin")) == ("back", "back", "back")
    assert machine.asked == [("coin",)]


def test_an_answer_that_differs_once_is_a_flaw_and_does_no_harm():
    machine, odd = Machine(COFFEE), []

    def ask(word):
        said = machine.ask(word)
        if word[:2] == ("water", "coin") and not odd:
            odd.append(word)
            return ("ok", "ODD", *said[2:])
        return said

    cache = Cache(ask)
    learned = learn(cache, COFFEE.letters, Effort(words=200, depth=1))
    cache.again(transition_cover(learned.model))
    assert odd
    assert apart(learned.model, COFFEE, COFFEE.letters) is None
    assert [flaw.word for flaw in cache.flaws.values()] == [("water", "coin")]
    assert cache.flaws["water", "coin"].answers["ODD"] == 1


def test_without_disturbance_there_is_no_flaw():
    cache = Cache(Machine(COFFEE).ask)
    learned = learn(cache, COFFEE.letters, Effort(words=100, depth=1))
    cache.again(transition_cover(learned.model))
    assert not cache.flaws


def test_a_run_that_was_stopped_goes_on(tmp_path):
    first, second = Machine(COFFEE), Machine(COFFEE)
    path = tmp_path / "queries.jsonl"
    effort = Effort(words=200, depth=1)
    cut = Cache(first.ask, path=path, key="coffee", limit=30)
    assert not learn(cut, COFFEE.letters, effort).finished
    cut.close()
    with path.open("a") as file:
        file.write('{"in": "coin; bu')  # as a machine leaves it that lost its power
    cache = Cache(second.ask, path=path, key="coffee")
    learned = learn(cache, COFFEE.letters, effort)
    cache.close()
    assert learned.finished
    assert cache.resumed == 30
    assert not set(first.asked) & set(second.asked)
    with pytest.raises(ResumeError, match="tea"):
        Cache(second.ask, path=path, key="tea")


def test_models_are_read_as_they_are_written(tmp_path):
    for name, text in (("m.json", files.to_json(COFFEE)), ("m.dot", files.to_dot(COFFEE))):
        (tmp_path / name).write_text(text)
        again = files.read(tmp_path / name)
        assert (again.letters, again.edges, again.names) == (COFFEE.letters, COFFEE.edges, COFFEE.names)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.dot", "digraph { }"),
        ("b.dot", 'a -> b [label="x/y"];'),
        ("c.dot", 'a -> a [label="x/y"]; \n a -> a [label="x/z"];'),
        ("d.json", "[]"),
        ("e.json", '{"model": 1, "inputs": ["x"], "states": [{"name": "s", "edges": {"x": ["o", 7]}}]}'),
    ],
)
def test_what_is_no_model_is_said_in_one_line(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(files.ModelError) as problem:
        files.read(tmp_path / name)
    assert "\n" not in str(problem.value)
    assert name in str(problem.value)


def test_identifiers_tell_all_states_apart():
    for model in (COFFEE, lock(6)):
        words = identifiers(model)
        answers = [tuple(model.run(word, state)[0] for word in words[state]) for state in range(len(model))]
        for state in range(len(model)):
            for other in range(len(model)):
                if other != state:
                    assert tuple(model.run(word, other)[0] for word in words[state]) != answers[state]


def test_the_wp_suite_kills_every_transfer_and_output_fault():
    suite = list(wp_suite(COFFEE, 0))
    for state in range(len(COFFEE)):
        for letter in COFFEE.letters:
            output, to = COFFEE.edges[state][letter]
            for wrong in [("?", to), *((output, other) for other in range(len(COFFEE)) if other != to)]:
                mutant = COFFEE.ordered()
                mutant.edges[state][letter] = wrong
                assert any(mutant.run(word)[0] != COFFEE.run(word)[0] for word in suite), (state, letter, wrong)


def test_differences_are_shortest_and_each_transition_is_covered():
    mutant = COFFEE.ordered()
    mutant.edges[4]["button"] = ("tea", 0)
    assert list(differences(COFFEE, mutant, COFFEE.letters)) == [("water", "coin", "button", "coin", "button")]
    covered = {(COFFEE.run(word[:-1])[1], word[-1]) for word in transition_cover(COFFEE)}
    assert len(covered) == len(COFFEE) * len(COFFEE.letters)


class Crowd(Machine):
    """A machine that is asked several words at a time."""

    def __init__(self, model):
        super().__init__(model)
        self.parties = []

    def ask_all(self, words):
        self.parties.append(len(words))
        return [super(Crowd, self).ask(word) for word in words]


def test_what_a_hypothesis_is_asked_is_asked_side_by_side_and_twice_what_refutes_it():
    machine = Crowd(COFFEE)
    cache = Cache(machine.ask, ask_all=machine.ask_all, side_by_side=4)
    learned = learn(cache, COFFEE.letters, Effort(words=200, depth=1))
    assert apart(learned.model, COFFEE, COFFEE.letters) is None
    assert max(machine.parties) == ROUNDS * 4
    assert {word for word in machine.asked if machine.asked.count(word) > 1} <= set(learned.refuted)
    assert len(machine.asked) == cache.queries
    before = len(machine.asked)
    cache.again(transition_cover(learned.model))
    assert machine.asked[before:] == list(transition_cover(learned.model))
    assert not cache.flaws


def test_no_more_is_asked_side_by_side_than_may_be_asked():
    machine = Crowd(COFFEE)
    cache = Cache(machine.ask, ask_all=machine.ask_all, side_by_side=4, limit=50)
    learned = learn(cache, COFFEE.letters, Effort(words=200, depth=1))
    assert not learned.finished
    assert len(machine.asked) == 50


@pytest.mark.parametrize("model", [COFFEE, lock(6)], ids=["coffee", "lock"])
def test_what_is_like_a_model_is_asked_little_more_than_that_would_be(model):
    effort = rehearsed(model, Effort(words=0))
    machine = Crowd(model)
    cache = Cache(machine.ask, ask_all=machine.ask_all, side_by_side=1000)
    learned = learn(cache, model.letters, replace(effort, depth=0))
    assert apart(learned.model, model, model.letters) is None
    assert machine.parties == [len(effort.likely)]  # all of them at once
    assert machine.asked == [*effort.likely, *learned.refuted]  # which were made sure of


def test_what_was_answered_wrong_beside_others_does_not_become_a_state():
    machine, odd = Crowd(COFFEE), []

    def ask_all(words):
        found = machine.ask_all(words)
        for index, word in enumerate(words):
            if len(odd) < 5 and len(word) > 6 and word not in odd:
                odd.append(word)
                found[index] = (*found[index][:-1], "ODD")
        return found

    cache = Cache(machine.ask, ask_all=ask_all, side_by_side=4)
    learned = learn(cache, COFFEE.letters, Effort(words=300, depth=1))
    assert apart(learned.model, COFFEE, COFFEE.letters) is None
    assert len(odd) == 5
    assert {flaw.word for flaw in cache.flaws.values()} == set(odd)


def test_what_is_not_like_the_model_is_learned_all_the_same():
    effort = rehearsed(lock(6), Effort(words=0))
    machine = Crowd(lock(7))
    cache = Cache(machine.ask, ask_all=machine.ask_all, side_by_side=4)
    learned = learn(cache, machine.model.letters, replace(effort, words=500, depth=1))
    assert apart(learned.model, machine.model, machine.model.letters) is None
