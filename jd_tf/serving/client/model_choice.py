"""Which model, and which of its versions."""

import dataclasses

from jd_tf.serving.client.errors import RequestError


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """A model by name and, perhaps, a version or a label.

    Attributes:
        name: of the model.
        version: exactly this one.
        label: whichever version carries it. Without version and label it is
            the latest version that is available.
    """

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.name or set(self.name) & set("/:"):
            raise RequestError(
                f"a model's name is not empty and has no / or :. Got: "
                f"{self.name!r}."
            )
        if self.version is not None and self.label is not None:
            raise RequestError(
                "name a version or a label, not both. Got: "
                f"{self.version} and {self.label!r}."
            )
        if self.version is not None and self.version < 0:
            raise RequestError(
                f"versions are not negative. Got: {self.version}."
            )
        if self.label is not None and (
            not self.label or set(self.label) & set("/:")
        ):
            raise RequestError(
                f"a label is not empty and has no / or :. Got: {self.label!r}."
            )

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name} (version {self.version})"
        if self.label is not None:
            return f"{self.name} (label {self.label})"
        return f"{self.name} (latest)"
