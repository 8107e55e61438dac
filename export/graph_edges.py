"""Who gives what to whom in a graph: tensors from nowhere, twice or too late, and nodes that go in a circle."""

from collections import Counter, defaultdict

from onnx import GraphProto, ValueInfoProto

from bitwright.export.problems import AGAIN, Problem, at, label

DEPICTED = 5
"""Names of a circle that a message shows."""


def edge_problems(graph: GraphProto) -> list[Problem]:
    """Return the tensors that come from nowhere, twice, or too late, and the circles."""
    makers = _makers(graph)
    outside = {port.name for port in network_inputs(graph)} | {tensor.name for tensor in graph.initializer}
    problems = _twice(graph, makers, outside)
    circle = _circle(graph, {name: places for name, places in makers.items() if name not in outside})
    if circle:
        names = [label(graph.node[index]) for index in circle]
        depicted = ", ".join([*names[:DEPICTED], *(["..."] if len(names) > DEPICTED else [])])
        wrong = f"nodes must not depend on themselves, not go in a circle ({depicted})"
        problems.append(at(graph.node[circle[0]], wrong, "unroll what is recurrent, and export again"))
    for index, node in enumerate(graph.node):
        for name in dict.fromkeys(filter(None, node.input)):
            if name in outside:
                continue
            if name not in makers:
                wrong = f"input {name} must be an initialiser, the network's input or a node's result, not missing"
                problems.append(at(node, wrong))
            elif makers[name][0] >= index and index not in circle:
                wrong = f"input {name} must come from a node before it, not from {label(graph.node[makers[name][0]])}"
                problems.append(at(node, wrong, "sort the graph with qonnx.transformation.general.SortGraph"))
    for port in graph.output:
        if port.name not in outside and port.name not in makers:
            wrong = "output must be a node's result, not missing"
            problems.append(Problem(port.name, "output", wrong, AGAIN))
    return problems


def network_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """Return a graph's inputs but those that are initialisers, as old files list them."""
    constants = {tensor.name for tensor in graph.initializer}
    return [port for port in graph.input if port.name not in constants]


def _makers(graph: GraphProto) -> dict[str, list[int]]:
    """Return the nodes that give each tensor, by their places."""
    makers: dict[str, list[int]] = defaultdict(list)
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            makers[name].append(index)
    return dict(makers)


def _twice(graph: GraphProto, makers: dict[str, list[int]], outside: set[str]) -> list[Problem]:
    problems = []
    for name, count in Counter(tensor.name for tensor in graph.initializer).items():
        if not name:
            problems.append(Problem(graph.name, "graph", "initialisers must have names, not none", AGAIN))
        elif count > 1:
            problems.append(Problem(name, "initialiser", f"initialiser must be there once, not {count} times", AGAIN))
    for name, places in makers.items():
        if len(places) > 1:
            others = ", ".join(label(graph.node[place]) for place in places[:DEPICTED])
            wrong = f"result {name} must come from one node, not from {len(places)} ({others})"
            problems.append(at(graph.node[places[0]], wrong))
        if name in outside:
            wrong = f"result {name} must have a name of its own, not that of an input or initialiser"
            problems.append(at(graph.node[places[0]], wrong))
    return problems


def _circle(graph: GraphProto, makers: dict[str, list[int]]) -> list[int]:
    """Return the places of the nodes on circles, and between two circles; none where there is no circle."""
    before = [{place for name in node.input for place in makers.get(name, ())} for node in graph.node]
    after: list[set[int]] = [set() for _ in graph.node]
    for index, places in enumerate(before):
        for place in places:
            after[place].add(index)
    left = _untied(set(range(len(before))), before, after)
    return sorted(_untied(left, after, before))


def _untied(nodes: set[int], before: list[set[int]], after: list[set[int]]) -> set[int]:
    """Return the nodes without those that can be taken off one by one because nothing is left before them."""
    waiting = {index: len(before[index] & nodes) for index in nodes}
    free = [index for index, count in waiting.items() if not count]
    left = set(nodes)
    while free:
        index = free.pop()
        left.discard(index)
        for following in after[index] & left:
            waiting[following] -= 1
            if not waiting[following]:
                free.append(following)
    return left
