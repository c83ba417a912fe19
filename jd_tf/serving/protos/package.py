"""A table of messages."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Package:
    """Messages and enums of one protobuf package, proto3.

    Attributes:
        name: of the package, such as `tensorflow.serving`.
        messages: message -> field number -> the field as a `.proto` file has
            it, less its number: `int64 size`, `repeated string tags`,
            `map<string, TensorProto> inputs`, and before a member of a oneof
            the name of that: `oneof version_choice string version_label`.
            `Outer.Inner` is nested, and comes after `Outer`. Types are found
            as protobuf finds them: within the message, then outwards.
        enums: enum -> number -> name; `Outer.Inner` is nested.
    """

    name: str
    messages: Mapping[str, Mapping[int, str]]
    enums: Mapping[str, Mapping[int, str]] = dataclasses.field(
        default_factory=dict
    )
