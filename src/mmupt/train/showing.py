"""What the display of a run is handed of a group."""

from __future__ import annotations

from functools import partial

from PIL import Image

from mmupt.data.images import open_image
from mmupt.errors import DataError
from mmupt.runtime.dashboard import Ballot
from mmupt.types import ImageSource, RolloutGroup, Vote


def ballot_of(group: RolloutGroup, vote: Vote) -> Ballot:
    """The vote as it is shown; the picture is opened only if it is."""
    images = group.prompt.images
    return Ballot(
        question=group.prompt.question,
        clusters=tuple((cluster.answer, len(cluster.members)) for cluster in vote.clusters),
        size=group.size,
        picture=partial(_picture, images[0]) if images else None,
    )


def _picture(image: ImageSource) -> Image.Image | None:
    try:
        return open_image(image)
    except DataError:  # it was there when the group was sampled; a display stops no run
        return None
