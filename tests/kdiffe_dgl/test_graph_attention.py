"""Random walks with restart and the attention-aware matrix, against exact enumeration."""

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import chisquare

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.graph.attention import attention_similarity, visit_counts, visited_sets

# Users 0-2, items 3-5: a path, a triangle-free branch, and degrees from 1 to 3.
SMALL = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 1], [0, 1, 0]], dtype=np.float32))


def random_interactions(n_users, n_items, density, seed):
    generator = np.random.default_rng(seed)
    return sp.csr_matrix((generator.random((n_users, n_items)) < density).astype(np.float32))


def neighbours_of(interactions):
    """Adjacency lists over users and items, users first."""
    n_users = interactions.shape[0]
    lists = defaultdict(list)
    for user, item in zip(*interactions.nonzero(), strict=True):
        lists[int(user)].append(n_users + int(item))
        lists[n_users + int(item)].append(int(user))
    return lists


def exact_set_distribution(interactions, start, walk_length, n_walks, restart_prob):
    """Probability of every visited set, by following all walks step by step."""
    neighbours = neighbours_of(interactions)
    states = {(start, frozenset([start])): 1.0}
    for _ in range(walk_length):
        following = defaultdict(float)
        for (place, visited), probability in states.items():
            if not neighbours[place]:
                following[place, visited] += probability
                continue
            following[start, visited] += probability * restart_prob
            for neighbour in neighbours[place]:
                step = probability * (1 - restart_prob) / len(neighbours[place])
                following[neighbour, visited | {neighbour}] += step
        states = following
    one = defaultdict(float)
    for (_, visited), probability in states.items():
        one[visited] += probability
    several = {frozenset([start]): 1.0}
    for _ in range(n_walks):
        union = defaultdict(float)
        for left, p in several.items():
            for right, q in one.items():
                union[left | right] += p * q
        several = union
    return {visited: probability for visited, probability in several.items() if probability > 0}


def transition_matrix(interactions):
    users, items = interactions.shape
    adjacency = np.zeros((users + items, users + items))
    adjacency[:users, users:] = interactions.toarray()
    adjacency += adjacency.T
    return adjacency / adjacency.sum(axis=1, keepdims=True)


def as_python_sets(sets):
    return [set(sets.indices[a:b].tolist()) for a, b in zip(sets.indptr[:-1], sets.indptr[1:], strict=True)]


@pytest.mark.parametrize(
    ("walk_length", "n_walks", "restart_prob"),
    [(3, 1, 0.3), (4, 1, 0.0), (5, 2, 0.5), (6, 1, 0.9), (7, 2, 0.7), (1, 3, 0.5)],
)
def test_visited_sets_have_the_exact_distribution(walk_length, n_walks, restart_prob):
    copies = 4000
    n_users, n_items = SMALL.shape
    many = sp.block_diag([SMALL] * copies, format="csr")
    found = as_python_sets(visited_sets(many, walk_length, n_walks, restart_prob, seed=1))
    for node in range(n_users + n_items):
        is_user = node < n_users
        counts = Counter()
        for copy in range(copies):
            row = copy * n_users + node if is_user else copies * n_users + copy * n_items + node - n_users
            members = frozenset(
                visited - copy * n_users
                if visited < copies * n_users
                else visited - copies * n_users - copy * n_items + n_users
                for visited in found[row]
            )
            counts[members] += 1
        expected = exact_set_distribution(SMALL, node, walk_length, n_walks, restart_prob)
        assert set(counts) <= set(expected)
        # Sets that are too rare for a chi-square test are counted together.
        common = [visited for visited, probability in expected.items() if probability * copies >= 8]
        rare = 1 - sum(expected[visited] for visited in common)
        observed = [counts[visited] for visited in common]
        wanted = [expected[visited] * copies for visited in common]
        if rare * copies >= 8:
            observed.append(copies - sum(observed))
            wanted.append(rare * copies)
        if len(wanted) > 1:
            wanted = np.array(wanted) * sum(observed) / sum(wanted)
            assert chisquare(observed, wanted).pvalue > 1e-4, (node, counts, expected)


@pytest.mark.parametrize("restart_prob", [0.0, 0.15, 0.5, 0.85])
def test_many_walks_visit_as_the_power_iteration_says(restart_prob):
    dense = random_interactions(6, 5, 0.5, 3).toarray() + np.eye(6, 5)
    dense[5, 0] = 1  # no node without a neighbour
    interactions = sp.csr_matrix((dense > 0).astype(np.float32))
    walk_length, n_walks = 200, 4000
    found = visit_counts(interactions, walk_length, n_walks, restart_prob, seed=0).toarray()
    total = n_walks * (walk_length + 1)
    np.testing.assert_array_equal(found.sum(axis=1), total)
    restart, transition = np.eye(11), transition_matrix(interactions)
    # Row v: where a walk from v is at time t; its mean over time is the expected frequency.
    place, occupancy = restart, restart.copy()
    for _ in range(walk_length):
        place = restart_prob * restart + (1 - restart_prob) * place @ transition
        occupancy = occupancy + place
    np.testing.assert_allclose(found / total, occupancy / (walk_length + 1), atol=0.004)
    if restart_prob:
        # The stationary distribution of the walk: the fixed point of the same iteration.
        np.testing.assert_allclose(restart_prob * restart + (1 - restart_prob) * place @ transition, place)
        np.testing.assert_allclose(found / total, place, atol=0.02)


def test_long_walks_visit_the_whole_component():
    first, second = np.ones((100, 100)), np.ones((3, 2))
    interactions = sp.block_diag([first, second], format="csr")  # its edges need more than one block
    sets = as_python_sets(visited_sets(interactions, 400, 20, 0.1, seed=0))
    users, items = 103, 102
    small = {100, 101, 102, users + 100, users + 101}
    assert all(sets[node] == small for node in small)
    assert all(sets[node] == set(range(users + items)) - small for node in range(100))
    similarity = attention_similarity(interactions, 400, 20, 0.1, seed=0)
    np.testing.assert_array_equal(similarity.data, 1)


def test_certain_restart_never_leaves_the_seed():
    sets = visited_sets(SMALL, 10, 3, 1.0, seed=0)
    np.testing.assert_array_equal(sets.toarray(), np.eye(6, dtype=bool))
    np.testing.assert_array_equal(attention_similarity(SMALL, 10, 3, 1.0, seed=0).data, 0)
    np.testing.assert_array_equal(visit_counts(SMALL, 10, 3, 1.0, seed=0).toarray(), 33 * np.eye(6))


def test_isolated_nodes_visit_themselves_only():
    interactions = sp.csr_matrix((np.ones(1), ([1], [2])), shape=(3, 4))
    counts = visit_counts(interactions, 5, 2, 0.2, seed=0).toarray()
    for node in (0, 2, 3, 4, 6):
        assert counts[node, node] == counts[node].sum() == 12
    assert attention_similarity(interactions, 5, 2, 0.0, seed=0).toarray()[1, 2] == 1


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (0, 0)])
def test_graph_without_edges(shape):
    empty = sp.csr_matrix(shape, dtype=np.float32)
    assert attention_similarity(empty, 5, 2, 0.2, seed=0).shape == shape
    assert visited_sets(empty, 5, 2, 0.2, seed=0).nnz == sum(shape)


def test_similarity_equals_python_sets():
    interactions = random_interactions(40, 30, 0.08, 5)
    arguments = (12, 2, 0.3)
    sets = as_python_sets(visited_sets(interactions, *arguments, seed=9))
    similarity = attention_similarity(interactions, *arguments, seed=9)
    assert similarity.dtype == np.float32
    np.testing.assert_array_equal(similarity.indptr, interactions.indptr)
    np.testing.assert_array_equal(similarity.indices, interactions.indices)
    values = similarity.tocoo()
    expected = [
        len(sets[user] & sets[40 + item]) / len(sets[user] | sets[40 + item])
        for user, item in zip(values.row, values.col, strict=True)
    ]
    assert len(set(expected)) > 5
    np.testing.assert_allclose(values.data, expected, rtol=1e-6)


def test_sets_are_where_counts_are():
    interactions = random_interactions(20, 30, 0.1, 2)
    sets, counts = (walk(interactions, 9, 3, 0.4, seed=4) for walk in (visited_sets, visit_counts))
    assert sets.dtype == bool
    np.testing.assert_array_equal(sets.toarray(), counts.toarray() > 0)


def test_workers_never_change_the_result():
    interactions = random_interactions(60, 40, 0.2, 8)
    # 100 000 visits a node: about twenty nodes a shard, so that shards wait for each other.
    found = [
        visit_counts(interactions, 1999, 50, 0.1, seed=3, workers=workers) for workers in (1, 2, 4, None)
    ]
    assert all((found[0] != other).nnz == 0 for other in found[1:])
    similar = [
        attention_similarity(interactions, 5, 2, 0.3, seed=3, workers=workers) for workers in (1, 2, 4)
    ]
    assert all(np.array_equal(similar[0].data, other.data) for other in similar[1:])


def test_another_thread_walks_alike():
    interactions = random_interactions(60, 40, 0.1, 8)
    here = visit_counts(interactions, 20, 4, 0.2, seed=3)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(visit_counts, interactions, 20, 4, 0.2, seed=3).result()
    assert (here != there).nnz == 0


def test_seeds_repeat_and_differ():
    interactions = random_interactions(60, 40, 0.1, 8)
    first = visited_sets(interactions, 10, 2, 0.3, seed=0)
    assert (first != visited_sets(interactions, 10, 2, 0.3, seed=0)).nnz == 0
    assert (first != visited_sets(interactions, 10, 2, 0.3, seed=1)).nnz > 0


def test_order_weights_and_repeats_of_edges_do_not_matter():
    interactions = random_interactions(30, 20, 0.2, 6)
    expected = attention_similarity(interactions, 10, 2, 0.3, seed=0)
    edges = interactions.tocoo()
    order = np.random.default_rng(0).permutation(edges.nnz)
    rows = np.concatenate([edges.row[order], edges.row[:5], [0]])
    columns = np.concatenate([edges.col[order], edges.col[:5], [0]])
    values = np.full(len(rows), 3.5)
    values[-1] = 0.0 if interactions[0, 0] == 0 else 1.0
    # Stored as they come: neither sorted nor merged.
    order = np.argsort(rows, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=30))])
    shuffled = sp.csr_matrix((values[order], columns[order], starts), shape=interactions.shape)
    assert not shuffled.has_canonical_format
    found = attention_similarity(shuffled, 10, 2, 0.3, seed=0)
    np.testing.assert_array_equal(found.toarray(), expected.toarray())
    assert found.nnz == expected.nnz == interactions.nnz


def test_input_is_left_alone():
    interactions = SMALL.copy()
    attention_similarity(interactions, 3, 2, 0.3, seed=0)
    np.testing.assert_array_equal(interactions.toarray(), SMALL.toarray())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 0.5), "walk_length is 0; expected 1 or more"),
        ((1, 0, 0.5), "n_walks is 0; expected 1 or more"),
        ((1, 1, 1.5), "restart_prob is 1.5; expected a probability from 0 to 1"),
        ((1, 1, float("nan")), "restart_prob is nan"),
    ],
)
def test_parameters_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        attention_similarity(SMALL, *arguments, seed=0)
