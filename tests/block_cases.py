"""Every block of `jd_tf.models`: cases like those of `tests.cases`.

`make_case(name, block, inputs, *args, **settings)`: `inputs` makes the call
arguments by name from a random generator: arrays, or dicts or tuples (not
lists) of them; arguments that are None are left out.
"""

from tests.cases import Case

BLOCK_CASES: tuple[Case, ...] = ()
