"""TextEncoder and its tokens against plain Python."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import TextEncoder
from tests import references

ALPHABET = [
    *"abcXYZ019éÉßÑжЖΩω",
    *"红茶手机壳新款々〇",
    *"ひらカナー한국",
    *"ＡｂＣ１２ｶﾅ",
    *" \t\n.,-_/|【】（）、。!?～・\u3000\x00\x7f",  # noqa: RUF001
    *"🙂👨‍👩‍👧❤️🇨🇳",
    *"①Ⅳ½𝐁𠀀\u0301\u200b\ufffd",
]


def _tokens(text, max_tokens=10**9):
    (tokens,) = TextEncoder(2, 9, max_tokens).tokens([text])
    return [token.decode() for token in tokens.numpy().tolist()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("!?🙂 -", []),
        ("Red, TEA", ["red", "tea"]),
        ("红茶", ["红茶"]),
        ("新", ["新"]),
        ("手机壳", ["手机", "机壳"]),
        ("Apple苹果iPhone15手机", ["apple", "苹果", "iphone15", "手机"]),
        ("新 款", ["新", "款"]),
        ("红茶，50g", ["红茶", "50g"]),  # noqa: RUF001
        ("ＮＥＷ１款", ["new1", "款"]),
        ("a🙂b", ["a", "b"]),
        ("カメラ 한국어", ["カメ", "メラ", "한국", "국어"]),
        ("a\x00b", ["a", "b"]),
        ("a\nb", ["a", "b"]),
    ],
)
def test_tokens(text, expected):
    assert _tokens(text) == expected
    assert references.tokens(text) == expected


@pytest.mark.parametrize("max_tokens", [3, 10**9])
def test_tokens_of_random_texts_equal_plain_python(max_tokens):
    rng = np.random.default_rng(0)
    texts = [
        "".join(rng.choice(ALPHABET, rng.integers(0, 30))) for _ in range(500)
    ]
    found = TextEncoder(2, 9, max_tokens).tokens(texts).to_list()
    for text, tokens in zip(texts, found, strict=True):
        expected = references.tokens(text, max_tokens)
        assert [token.decode() for token in tokens] == expected, repr(text)


def test_broken_utf8_equals_plain_python():
    rng = np.random.default_rng(1)
    texts = []
    for _ in range(300):
        text = bytearray("".join(rng.choice(ALPHABET, 20)).encode())
        for _ in range(4):
            place = rng.integers(len(text))
            text[place : place + 1] = rng.choice([b"", b"\xff", b"\x80"])
        texts.append(bytes(text))
    texts += ["红茶".encode()[:cut] + b"tea" for cut in range(7)]
    texts += [b"\xed\xa0\x80a", b"\xc0\xafb", b"\xf4\x90\x80\x80c", b"\xff"]
    texts = np.array(texts, object)
    found = TextEncoder(2, 9, 100).tokens(texts).to_list()
    for text, tokens in zip(texts, found, strict=True):
        expected = references.tokens(text)
        assert [token.decode() for token in tokens] == expected, text


@pytest.mark.parametrize("text", ["a", "红", "🙂", " ", "a ", "红a"])
def test_ten_thousand_characters(text):
    text = text * (10_000 // len(text))
    assert _tokens(text) == references.tokens(text)
    assert _tokens(text, 5) == references.tokens(text, 5)


@pytest.mark.parametrize("shape", [(4,), (2, 2), (1, 2, 2)])
def test_is_the_mean_of_the_vectors_of_the_tokens(shape):
    texts = np.array(["tea 红茶 tea 50g", "", "?!", "red tea"], object)
    layer = TextEncoder(3, 1000, 3)
    actual = layer(texts.reshape(shape)).numpy()
    assert actual.shape == (*shape, 3)
    table = layer.table.numpy()
    for text, vector in zip(texts, actual.reshape(4, 3), strict=True):
        rows = [
            table[int(tf.strings.to_hash_bucket_fast(token, 1000))]
            for token in references.tokens(text, 3)
        ]
        expected = np.mean(rows, axis=0) if rows else np.zeros(3)
        np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-7)


def test_no_text_at_all():
    layer = TextEncoder(3, 10)
    assert layer(np.zeros((2, 0), object).astype(str)).shape == (2, 0, 3)
    assert not np.any(layer(np.array([["", "-"]])))


def test_gradient_is_sparse_and_counts_every_mention():
    layer = TextEncoder(2, 1000)
    texts = np.array([["tea", "tea"], ["tea red", ""]])
    layer(texts)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(texts))
    gradient = tape.gradient(loss, layer.table.value)
    assert isinstance(gradient, tf.IndexedSlices)
    dense = tf.convert_to_tensor(gradient).numpy()
    tea, red = (
        int(tf.strings.to_hash_bucket_fast(word, 1000))
        for word in ("tea", "red")
    )
    assert np.flatnonzero(dense.any(axis=1)).tolist() == sorted([tea, red])
    np.testing.assert_allclose(dense[tea], [2.5, 2.5], rtol=1e-6)
    np.testing.assert_allclose(dense[red], [0.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_graph_never_reads_the_whole_table(policy):
    layer = TextEncoder(3, 50, dtype=policy)
    layer.build((None,))
    function = tf.function(layer).get_concrete_function(
        tf.TensorSpec([None, None], tf.string)
    )
    operations = [op.type for op in function.graph.get_operations()]
    assert "ResourceGather" in operations
    assert "ReadVariableOp" not in operations
    assert function.outputs[0].shape[-1] == 3


def test_saved_model_needs_no_files(tmp_path):
    layer = TextEncoder(3, 50)
    layer.build((None,))
    module = tf.Module()
    module.layer = layer
    module.serve = tf.function(
        layer, input_signature=[tf.TensorSpec([None, None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path))
    assets = tmp_path / "assets"
    assert not assets.exists() or not list(assets.iterdir())
    assert (tmp_path / "saved_model.pb").stat().st_size < 1_000_000
    texts = tf.constant([["Apple苹果", ""], ["🙂", "手机壳 50g"]])
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(loaded.serve(texts), layer(texts), rtol=1e-6)


def test_runs_within_tf_data():
    layer = TextEncoder(3, 50)
    texts = np.array(["红茶50g", "", "tea"], object)
    expected = layer(texts)
    batches = tf.data.Dataset.from_tensors(texts).map(layer)
    np.testing.assert_allclose(next(iter(batches)), expected, rtol=1e-6)


def test_what_is_no_text_is_named():
    with pytest.raises(ValueError, match=r"'title' takes string ids"):
        TextEncoder(2, 9, name="title")(np.array([1]))
