"""The shape of a platform: what boxes/NAME/platform.yaml is turned into."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from lab.fields import Family, GuestPlace, NodeName, Sha256, Shape, VersionText
from lab.model import Frozen


class Repository(Frozen):
    """The local package repository: what nodes can install without a network."""

    groups: list[list[str]]  # each group must be installable as a whole


class Box(Frozen):
    """A Vagrant box, or a distribution's cloud image, that machines start from.

    `checksum`: SHA-256 of the file. Without one nobody has recorded it yet, and whoever fetches the
    file has to: what is not known for sure is not written down. `mirror`: its packages are nowhere
    but where LAB_MIRROR says, see lab.mirror.
    """

    name: Annotated[str, Shape(r"^[\w.-]+/[\w.-]+$", "a Vagrant box: write OWNER/NAME")] = ""
    image: Annotated[
        str,
        Shape(r"^[\w.+-]+\.(qcow2|box|img)$", "a file's name: it ends in .qcow2, .box or .img"),
    ] = ""
    version: Annotated[str, Shape(r"^[\w.-]+$", "a version: write letters, digits, . and -")]
    checksum: Sha256 | None = None
    mirror: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.name) == bool(self.image):
            raise ValueError("give exactly one of: name (of a Vagrant box), image (a file's name)")
        return self

    @property
    def text(self) -> str:
        """It in words."""
        return f"box {self.name} {self.version}" if self.name else f"image {self.image}"


class Platform(Frozen):
    """An operating system that nodes run, with the versions that adaptations ask for.

    Its machines start from images that are built of the `suite`'s packages, or from a `box`.
    """

    name: NodeName
    title: str
    family: Family
    suite: str | None = None
    box: Box | None = None
    versions: dict[str, VersionText]  # software -> version, as `when:` compares it
    packages: dict[str, str]  # software -> the package that carries that version
    guests: GuestPlace = "inside"  # their host, or beside it; the provider says which
    agents: dict[str, list[str]] = Field(default_factory=dict)  # fence agent -> its packages
    base: list[str] = Field(default_factory=list)
    guest: list[str] = Field(default_factory=list)
    repository: Repository = Repository(groups=[])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.suite is None) == (self.box is None):
            raise ValueError("give exactly one of: suite (built of packages), box")
        if unknown := [name for name in self.packages if name not in self.versions]:
            raise ValueError(f"packages: {', '.join(unknown)} has no entry in versions")
        return self

    @property
    def is_built(self) -> bool:
        """Whether its images can be built here, of packages. Others start from a box."""
        return self.suite is not None
