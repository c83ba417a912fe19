"""Messages from tables, in a pool of their own.

The protos of TensorFlow register themselves in the one pool that a process
has by default; a second file with the same messages would be refused there.
In a pool of its own it is none of TensorFlow's business, whether that is
imported before, later or never. What is sent is the same: a message is known
by its name and its field numbers.
"""

import re
from collections.abc import Sequence

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    wrappers_pb2,
)

from jd_tf.serving.protos.package import Package

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _FIELD.TYPE_BOOL,
    "bytes": _FIELD.TYPE_BYTES,
    "double": _FIELD.TYPE_DOUBLE,
    "float": _FIELD.TYPE_FLOAT,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "string": _FIELD.TYPE_STRING,
    "uint32": _FIELD.TYPE_UINT32,
    "uint64": _FIELD.TYPE_UINT64,
}
_LINE = re.compile(
    r"(?:oneof (?P<oneof>\w+) )?(?P<repeated>repeated )?"
    r"(?:map<(?P<key>\w+), (?P<value>[\w.]+)>|(?P<type>[\w.]+)) (?P<name>\w+)"
)
# What comes with protobuf itself.
_BASICS = (any_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR)


class MessagePool:
    """Makes classes of messages that are described in tables.

    Args:
        packages: those that others refer to come first.
    """

    def __init__(self, packages: Sequence[Package]):
        self._pool = descriptor_pool.DescriptorPool()
        self._kinds: dict[str, int] = {}
        dependencies = []
        for file in _BASICS:
            self._pool.AddSerializedFile(file.serialized_pb)
            dependencies.append(file.name)
            for message in file.message_types_by_name.values():
                self._kinds[message.full_name] = _FIELD.TYPE_MESSAGE
        for package in packages:
            file = self._described(package)
            file.dependency.extend(dependencies)
            self._pool.AddSerializedFile(file.SerializeToString())
            dependencies.append(file.name)

    def message(self, name: str) -> type:
        """The class of a message, by its full name."""
        return message_factory.GetMessageClass(
            self._pool.FindMessageTypeByName(name)
        )

    def _described(
        self, package: Package
    ) -> descriptor_pb2.FileDescriptorProto:
        for names, kind in (
            (package.messages, _FIELD.TYPE_MESSAGE),
            (package.enums, _FIELD.TYPE_ENUM),
        ):
            for name in names:
                self._kinds[f"{package.name}.{name}"] = kind
        file = descriptor_pb2.FileDescriptorProto(
            name=f"jd_tf/{package.name}.proto",
            package=package.name,
            syntax="proto3",
        )
        scopes = {}
        for name, fields in package.messages.items():
            outer, _, own = name.rpartition(".")
            siblings = scopes[outer].nested_type if outer else file.message_type
            scopes[name] = siblings.add(name=own)
            for number, line in fields.items():
                where = f"{package.name}.{name}"
                self._add_field(scopes[name], number, line, where)
        for name, values in package.enums.items():
            outer, _, own = name.rpartition(".")
            siblings = (scopes[outer] if outer else file).enum_type
            enum = siblings.add(name=own)
            for number, value in values.items():
                enum.value.add(name=value, number=number)
        return file

    def _add_field(
        self,
        message: descriptor_pb2.DescriptorProto,
        number: int,
        line: str,
        where: str,
    ) -> None:
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise ValueError(f"{where}: field {number} is malformed: {line!r}.")
        field = message.field.add(name=parts["name"], number=number)
        many = parts["repeated"] or parts["key"]
        field.label = _FIELD.LABEL_REPEATED if many else _FIELD.LABEL_OPTIONAL
        if parts["oneof"]:
            known = [oneof.name for oneof in message.oneof_decl]
            if parts["oneof"] not in known:
                message.oneof_decl.add(name=parts["oneof"])
                known.append(parts["oneof"])
            field.oneof_index = known.index(parts["oneof"])
        if not parts["key"]:
            self._set_type(field, parts["type"], where)
            return
        # On the wire a map is a list of messages with a key and a value.
        words = (word.capitalize() for word in parts["name"].split("_"))
        entry = message.nested_type.add(name="".join(words) + "Entry")
        entry.options.map_entry = True
        sides = {1: f"{parts['key']} key", 2: f"{parts['value']} value"}
        for side, inner in sides.items():
            self._add_field(entry, side, inner, where)
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = f".{where}.{entry.name}"

    def _set_type(
        self, field: descriptor_pb2.FieldDescriptorProto, name: str, where: str
    ) -> None:
        if name in _SCALARS:
            field.type = _SCALARS[name]
            return
        scope = where
        while f"{scope}.{name}".lstrip(".") not in self._kinds:
            if not scope:
                raise ValueError(f"{where}: nothing is called {name!r}.")
            scope = scope.rpartition(".")[0]
        found = f"{scope}.{name}".lstrip(".")
        field.type, field.type_name = self._kinds[found], f".{found}"
