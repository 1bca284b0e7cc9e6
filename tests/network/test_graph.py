"""A network is a directed acyclic graph: its order, depth, names, inputs and parameters."""

import numpy as np
import pytest
from drawn_networks import batch, dags, image_chains, worst_slope_error
from hypothesis import given

from dbpsim.credit.backprop import backprop
from dbpsim.network.activations import Activation
from dbpsim.network.attention import Attention
from dbpsim.network.graph import INPUT, Network, Stage
from dbpsim.network.layers import Add, Concat, Conv2d, Dense, Layer
from dbpsim.network.models import mlp
from dbpsim.network.normalisation import BatchNorm


def dense(name, parents=None, width=2):
    return Stage(name, [Dense(width)], parents)


def added(name, parents):
    return Stage(name, [Add(), Activation("tanh")], parents)


@given(dags())
def test_gradients_of_any_graph_are_slopes(net):
    x, y = batch(net)
    # Central differences err by h^2 = 1e-10 times third derivatives, of at most a few hundred here.
    assert worst_slope_error(net, backprop(net, x, y).gradients, x, y) < 1e-7


@given(image_chains())
def test_gradients_of_any_image_chain_are_slopes(net):
    x, y = batch(net)
    assert worst_slope_error(net, backprop(net, x, y).gradients, x, y) < 1e-7  # as above


@given(dags())
def test_parents_come_first_and_the_output_last(net):
    seen = {INPUT}
    for stage in net.stages:
        assert set(stage.parents) <= seen
        seen.add(stage.name)
    assert net.output == "out"
    assert net.levels["out"] == net.depth == max(net.levels.values())
    assert all(net.levels[s.name] == 1 + max(net.levels[p] for p in s.parents) for s in net.stages)
    # Height counts the stages to the output: together they never exceed the longest path, and reach it on it.
    assert max(net.levels[s.name] + net.heights[s.name] - 1 for s in net.stages) == net.depth


def test_depth_is_the_longest_path_not_the_number_of_stages():
    stages = [dense("a"), dense("b"), dense("c"), added("d", ["c", "a"]), added("e", ["d", "a"])]
    assert Network(stages, (2,)).depth == 5
    assert Network([dense("a", [INPUT]), dense("b", [INPUT]), added("c", ["a", "b"])], (3,)).depth == 2


def test_the_order_in_which_stages_are_given_does_not_matter():
    stages = [dense("a", [INPUT]), dense("b", ["a"]), added("c", ["a", "b"])]
    one, other = Network(stages, (3,)), Network(stages[::-1], (3,))
    assert [s.name for s in one.stages] == [s.name for s in other.stages] == ["a", "b", "c"]
    x = np.ones((1, 3))
    np.testing.assert_array_equal(one.forward(x), other.forward(x))


def test_a_parent_may_be_read_twice():
    x = np.ones((2, 3))
    twice = Network([dense("a"), added("b", ["a", "a"])], (3,), dtype="float64")
    values = twice.sweep(twice.as_input(x), training=True).values
    np.testing.assert_array_equal(values["b"], np.tanh(2 * values["a"]))
    y = np.array([0, 1])
    assert worst_slope_error(twice, backprop(twice, x, y).gradients, x, y) < 1e-8  # smooth: h^2 and epsilon / h


def test_a_cycle_is_refused_with_its_path_in_the_direction_of_the_signal():
    stages = [added("a", [INPUT, "c"]), dense("b", ["a"]), dense("c", ["b"]), dense("out", ["c"])]
    for order in (stages, stages[::-1]):
        with pytest.raises(ValueError, match="found a cycle") as caught:
            Network(order, (2,))
        path = str(caught.value).split("found a cycle, ")[1].split(";")[0].split(" -> ")
        assert path[0] == path[-1]
        assert len(path) == 4
        reads = {s.name: s.parents for s in stages}
        assert all(before in reads[after] for before, after in zip(path, path[1:], strict=False))
        assert "recurrent" in str(caught.value)


def test_a_stage_that_reads_itself_is_a_cycle():
    with pytest.raises(ValueError, match="cycle, a -> a;"):
        Network([dense("a", ["a"])], (2,))


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([], "found no stages"),
        ([dense("a"), dense("b", ["A"])], "stage b: found parent 'A'; accepted: input, a, b"),
        ([dense("a"), dense("a")], "stage a: found twice"),
        ([dense("a"), dense("b", ["a"]), dense("c", ["a"])], "found the ends b, c; accepted: one"),
        ([dense("a"), dense("b", ["a", INPUT])], "stage b: 2 parents need Add or Concat"),
        ([dense("a"), Stage("b", [Dense(2), Add()])], "stage b: Add() must be the first layer"),
        ([Stage("a", [Dense(2), Dense(2)])], "stage a: found two weight layers"),
        ([Stage("a", [BatchNorm(), Dense(2), BatchNorm()])], "stage a: found two layers with a scale"),
    ],
)
def test_graphs_that_cannot_be_are_refused(stages, words):
    with pytest.raises(ValueError) as caught:
        Network(stages, (3,))
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a.b", "a b", INPUT, "a" * 65, "a\n", "<script>"])
def test_names_are_identifiers(name):
    with pytest.raises(ValueError, match="stage name: found"):
        dense(name)


def test_a_stage_needs_a_layer():
    with pytest.raises(ValueError, match="stage a: found no layers"):
        Stage("a", [])


@pytest.mark.parametrize(
    ("stages", "shape", "words"),
    [
        ([dense("a"), Stage("conv", [Activation("relu"), Conv2d(3)])], (4,), "stage conv, layer 2 of 2: Conv2d expects"),
        ([dense("a"), Stage("look", [Attention(2)])], (4,), "stage look, layer 1 of 1: Attention expects"),
        ([dense("a"), dense("b", ["a"], 3), added("c", ["a", "b"])], (4,), "stage c, layer 1 of 2: Add expects inputs"),
        ([dense("a"), Stage("b", [Concat()], ["a", INPUT])], (4, 3, 1), "stage b, layer 1 of 1: Concat"),
    ],
)
def test_shapes_that_do_not_fit_name_stage_and_layer(stages, shape, words):
    if "Concat" in words:
        stages[0] = Stage("a", [Conv2d(2, stride=2)])
    with pytest.raises(ValueError) as caught:
        Network(stages, shape)
    assert words in str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_has_the_networks_dtype(dtype):
    net = Network([Stage("a", [Dense(4), BatchNorm(), Activation("gelu")]), dense("b")], (3,), dtype=dtype)
    x = np.random.default_rng(0).integers(0, 9, (5, 3))  # integers are converted
    found = backprop(net, x, np.array([0, 1, 0, 1, 0]))
    arrays = [net.forward(x), found.output, *net.parameters.values(), *net.buffers.values()]
    arrays += [*found.gradients.values(), *found.statistics.values()]
    assert {a.dtype for a in arrays} == {np.dtype(dtype)}


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex128"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match="accepted: float32, float64"):
        mlp(3, 2, dtype=dtype)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.ones((2, 4)), "found shape (2, 4); accepted: (N, 3), N >= 1"),
        (np.ones(3), "found shape (3,)"),
        (np.ones((0, 3)), "found shape (0, 3)"),
        (np.array([[1.0, np.nan, 0.0]]), "found nan or inf"),
        (np.array([[1.0, np.inf, 0.0]]), "found nan or inf"),
        (np.ones((2, 3), complex), "found type complex128"),
        (np.array([["a", "b", "c"]]), "found type <U1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, words):
    net = mlp(3, 2)
    for call in (net.forward, lambda x: backprop(net, x, np.array([0]))):
        with pytest.raises(ValueError) as caught:
            call(x)
        assert words in str(caught.value)


def test_inputs_that_overflow_the_networks_dtype_are_refused():
    with pytest.raises(ValueError, match="found nan or inf"), np.errstate(over="ignore"):
        mlp(3, 2).forward(np.full((1, 3), 1e300))


def test_assign_is_all_or_nothing():
    net = mlp(3, 4, 2)
    before = {k: v.copy() for k, v in net.parameters.items()}
    good = np.ones((4, 3))
    for name, bad, said in (
        ("dense2.weight", np.ones((4, 2)), "dense2.weight: found shape"),
        ("dense3.weight", np.ones(1), "dense3.weight: found shape .* one of dense1.bias"),
        ("dense2.bias", 1.0, "dense2.bias: found shape"),
        ("dense2.bias", ["a", "b"], "could not convert"),
    ):
        with pytest.raises(ValueError, match=said):
            net.assign({"dense1.weight": good, name: bad})
        for name, value in before.items():
            np.testing.assert_array_equal(net.parameters[name], value)
    net.assign({"dense1.weight": good})
    np.testing.assert_array_equal(net.parameters["dense1.weight"], good)
    # The operators see it: each hidden unit is 3 now.  Sums of four in another order, in float32.
    np.testing.assert_allclose(net.forward(np.ones((1, 3)))[0], 3 * net.parameters["dense2.weight"].sum(1), rtol=1e-5, atol=1e-6)


def test_assign_takes_buffers_too():
    net = Network([Stage("a", [Dense(2), BatchNorm()])], (3,))
    net.assign({"a.mean": [1, 2], "a.variance": [3, 4]})
    np.testing.assert_array_equal(net.buffers["a.variance"], [3, 4])


def test_stages_are_copied_so_that_a_list_can_be_used_again():
    stages = [dense("a"), dense("b")]
    one, other = Network(stages, (3,), seed=1), Network(stages, (5,), seed=2)
    assert one.parameters["a.weight"].shape == (2, 3)
    assert other.parameters["a.weight"].shape == (2, 5)
    assert stages[0].parents == ()


def test_a_stages_weights_do_not_depend_on_the_other_stages():
    one = Network([dense("a"), dense("b")], (3,), seed=4)
    more = Network([dense("new", width=3), dense("a"), dense("more"), dense("b")], (3,), seed=4)
    for name, value in one.parameters.items():
        np.testing.assert_array_equal(more.parameters[name], value)
    assert not np.array_equal(one.parameters["a.weight"][:, :2], one.parameters["b.weight"])


def test_a_layer_says_what_it_lacks():
    with pytest.raises(NotImplementedError):
        Layer().forward(np.ones(1), True)
