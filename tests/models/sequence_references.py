"""Forward passes of sequence and unified models, as loops in NumPy.

As in tests/models/zoo_references.py. A reader takes the model, the request,
its candidates' vectors (N, D), their dense features and what is known of the
request (F,); it returns the user's interests and for each candidate what it
reads of the histories.
"""

import math

import numpy as np

from tests import numeric_references, references
from tests.attention_references import target_attention
from tests.interaction_references import weights_of as weights
from tests.models import zoo_references as zoo
from tests.sequence_references import (
    TWO_YEARS,
    attentional_gru,
    block_read,
    hstu_read,
    local_activation,
    shares_of,
)


def of_sequences(reader):
    """The oracle of a model on experts, by what its candidates read."""

    def probabilities(model, request):
        schema, dense = model.schema, model.item_normalization
        items, rows = zoo._items(model.item_encoder, schema, request, "")
        overlaps = zoo.overlaps(model, request, rows)
        numbers = [
            np.concatenate(
                [
                    *own,
                    numeric_references.feature_normalization(
                        row, dense.linear, weights(dense), dense.max_value
                    ),
                ]
            )
            for own, row in zip(
                zip(*overlaps, strict=True), request["item_dense"], strict=True
            )
        ]
        now, ages = int(request["request_time"]), []
        for behavior in schema.behaviors:
            times = request[f"{behavior.name}_event_time"]
            ages.append(now - int(times[0]) if len(times) else -1)
        parts = zoo._context(model.context_encoder, schema, request, ages)
        context = np.concatenate(parts)
        interests, reads = reader(model, request, items, numbers, context)
        user = np.concatenate([*interests, context])
        found = []
        for item, read, own in zip(items, reads, numbers, strict=True):
            candidate = np.concatenate([item, *read, own])
            logits = zoo.pooled_mmoe(model, user, candidate, request)
            found.append(
                references.entire_space_probabilities(
                    logits, schema.given_indices
                )
            )
        return np.array(found)

    return probabilities


def _events(model, request, number):
    """Tokens and times of a behaviour's events."""
    encoder = model.event_encoders[number]
    name, w = f"{encoder.behavior.name}_", weights(encoder)
    items, _ = zoo._items(model.item_encoder, model.schema, request, name)
    times, tokens = request[f"{name}event_time"], []
    for place, item in enumerate(items):
        token = item + w.get("behavior_vector", 0.0)
        if encoder.use_position:
            token = token + w["temporal_encoding/position_table"][place]
        if encoder.use_recency:
            table = w["temporal_encoding/age_table"]
            age = int(times[0]) - int(times[place])
            token = (
                token + table[references.age_bucket(age, len(table), TWO_YEARS)]
            )
        if encoder.event_details:
            token = token + references.fine_grained(
                float(request[f"{name}dwell_seconds"][place]),
                request[f"{name}action_counts"][place],
                request[f"{name}action_ids"][place],
                _below(w, "fine_grained"),
                references.relu,
            )
        tokens.append(token)
    return tokens, times


def _below(w, name):
    return {
        key.removeprefix(f"{name}/"): value
        for key, value in w.items()
        if key.startswith(f"{name}/")
    }


def _apart(read_history):
    """The reader of a model whose behaviours are read apart."""

    def read(model, request, items, numbers, context):
        interests, reads = [], [[] for _ in items]
        for number, layers in enumerate(model.readers):
            tokens, _ = _events(model, request, number)
            memory, read_one = read_history(model, layers, tokens)
            total = sum(memory, np.zeros(items.shape[1]))
            interests.append(total / max(len(memory), 1))
            for item, parts in zip(items, reads, strict=True):
                parts.append(read_one(item))
        return interests, reads

    return of_sequences(read)


def _din(model, layers, tokens):
    w = weights(layers[0])
    return tokens, lambda item: local_activation(item, tokens, w)


def _dien(model, layers, tokens):
    extractor, attention, evolution, _ = map(weights, layers)
    interests = attentional_gru(tokens, None, extractor)

    def read(item):
        scores = [h @ attention["kernel"] @ item for h in interests]
        states = attentional_gru(interests, shares_of(scores), evolution)
        return states[0] if states else np.zeros(len(item))

    return interests, read


def _bst(model, layers, tokens):
    transformer = layers[0]
    w, heads = weights(transformer), transformer.num_heads

    def norm(x):
        return references.layer_norm(x, w, "norm")

    history = [tokens]
    for number in range(transformer.num_layers):
        block, before = _below(w, f"block_{number}"), history[-1]
        history.append(
            [
                block_read(
                    x,
                    block,
                    [(y, block) for j, y in enumerate(before) if j != i],
                    heads,
                )
                for i, x in enumerate(before)
            ]
        )

    def read(item):
        for number in range(transformer.num_layers):
            block = _below(w, f"block_{number}")
            others = [(x, block) for x in history[number]]
            item = block_read(item, block, others, heads)
        return norm(item)

    return [norm(x) for x in history[-1]], read


def _dmt(model, layers, tokens):
    encoder, decoder = layers
    memory, _ = _bst(model, [encoder], tokens)
    w = weights(decoder)

    def read(item):
        return target_attention(item, memory, w, decoder.num_heads, True)[0]

    return memory, read


din, dien, bst, dmt = map(_apart, (_din, _dien, _bst, _dmt))


def _timeline(model, request):
    """Tokens and times of the events of all behaviours, newest first."""
    events = []
    for number in range(len(model.schema.behaviors)):
        tokens, times = _events(model, request, number)
        events += [
            (-int(time), number, place, token)
            for place, (time, token) in enumerate(
                zip(times, tokens, strict=True)
            )
        ]
    events.sort(key=lambda event: event[:3])
    events = events[: model.window]
    times = [-time for time, *_ in events]
    tokens = [token for *_, token in events]
    if model.gaps is not None:
        table = weights(model.gaps)["age_table"]
        for place, time in enumerate(times):
            gap = time - times[place + 1] if place + 1 < len(times) else 0
            bucket = references.age_bucket(gap, len(table), TWO_YEARS)
            tokens[place] = tokens[place] + table[bucket]
    return tokens, times


def _causal(blocks, tokens, num_heads):
    """Events before each of the blocks and after the last."""
    history = [tokens]
    for block in blocks:
        before = history[-1]
        history.append(
            [
                block_read(
                    x, block, [(y, block) for y in before[i + 1 :]], num_heads
                )
                for i, x in enumerate(before)
            ]
        )
    return history


def _interest(model, memory, norm):
    if not memory:
        return model.no_history.numpy().astype(np.float64)
    w = {f"norm/{name}": value for name, value in weights(norm).items()}
    return references.layer_norm(memory[0], w, "norm")


def _dense(layer, vector):
    w = weights(layer)
    return vector @ w["kernel"] + w["bias"]


def _sas_rec(model, request, items, numbers, context):
    tokens, _ = _timeline(model, request)
    layer, w = model.transformer, weights(model.transformer)
    blocks = [_below(w, f"block_{n}") for n in range(layer.num_layers)]
    memory = _causal(blocks, tokens, layer.num_heads)[-1]
    u = _interest(model, memory, layer.norm)
    return [u], [[u * q, [u @ q / math.sqrt(len(q))]] for q in items]


def _hstu(model, request, items, numbers, context):
    tokens, times = _timeline(model, request)
    units = [(weights(u), u.num_heads, u.max_length) for u in model.units]
    history = [tokens]
    for unit in units:
        before = history[-1]
        history.append(
            [
                hstu_read(x, times[i], before[i + 1 :], times[i + 1 :], *unit)
                for i, x in enumerate(before)
            ]
        )
    reads, now = [], int(request["request_time"])
    for item, own in zip(items, numbers, strict=True):
        x = _dense(model.candidate_map, np.concatenate([item, own]))
        for before, unit in zip(history[:-1], units, strict=True):
            x = hstu_read(x, now, before, times, *unit)
        reads.append([_interest(model, [x], model.last_norm)])
    return [_interest(model, history[-1], model.last_norm)], reads


def _one_trans(model, request, items, numbers, context):
    tokens, _ = _timeline(model, request)
    events, requests, candidates = (
        [weights(block) for block in blocks]
        for blocks in (
            model.event_blocks,
            model.request_blocks,
            model.candidate_blocks,
        )
    )
    heads = model.event_blocks[0].num_heads
    history = _causal(events, tokens, heads)
    asked = [_dense(model.request_map, context)]
    for before, event, block in zip(
        history[:-1], events, requests, strict=True
    ):
        others = [(x, event) for x in before]
        asked.append(block_read(asked[-1], block, others, heads))
    reads = []
    for item, own in zip(items, numbers, strict=True):
        x = _dense(model.candidate_map, np.concatenate([item, own]))
        for layer, block in enumerate(candidates):
            others = [(asked[layer], requests[layer])]
            others += [(event, events[layer]) for event in history[layer]]
            x = block_read(x, block, others, heads)
        reads.append([_interest(model, [x + asked[-1]], model.last_norm)])
    return [_interest(model, history[-1], model.last_norm)], reads


sas_rec, hstu, one_trans = map(of_sequences, (_sas_rec, _hstu, _one_trans))
