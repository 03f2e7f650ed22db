"""The black picture is one, in each coding a playlist may hold."""

import numpy as np
import pytest

from soloist.model.media import VideoFormat
from soloist.sinks.matrix import CONTAINER_OF, SEGMENTED
from soloist.sinks.still import BLACK_PICTURES, BLACK_SIZE
from soloist.sinks.template import _open


@pytest.mark.parametrize("codec", sorted(BLACK_PICTURES))
def test_the_black_picture_decodes_to_black_of_its_size(codec):
    with _open(VideoFormat(codec, *BLACK_SIZE, BLACK_PICTURES[codec])) as container:
        (frame,) = container.decode(video=0)
    assert (frame.width, frame.height) == BLACK_SIZE
    assert frame.key_frame
    assert int(np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)[:, :320].max()) <= 17


def test_every_codec_of_a_playlist_has_one():
    kept = {codec for (_, codec), (container, *_) in CONTAINER_OF.items() if container in SEGMENTED}
    assert set(BLACK_PICTURES) == kept - {None}
