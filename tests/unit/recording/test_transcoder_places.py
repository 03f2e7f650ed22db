"""How many transcoders there may be, and which are given up for the sake of recordings."""

from support.picture_line import Script, opus, vp8

from soloist.wire.places import Places


def test_without_a_place_there_is_no_child_until_another_gives_its_own_back():
    places = Places(in_all_max=9, project_max=1)
    first, second = Script(places), Script(places)
    first.push(vp8(0))
    second.push(vp8(0), opus(0))
    assert (len(first.children), len(second.children)) == (1, 0)
    assert second.out == [opus(0)]

    first.line.end()
    second.push(vp8(30), vp8(90))
    second.child.answer()
    second.look()
    assert second.pictures == [90]
    assert second.missing == [(0, 90, "transcoder_refused")]
    second.line.end()
    assert places.taken == {}


def test_what_is_shed_has_no_child_until_it_is_restored_and_what_it_had_is_declared():
    script = Script()
    script.push(vp8(0), vp8(1))
    script.child.answer(1)
    script.line.shed()
    script.push(vp8(30), vp8(60))
    assert script.child.is_ended
    assert len(script.children) == 1

    script.line.is_shed = False
    script.push(vp8(150))
    script.child.answer()
    script.look()
    assert script.pictures[-1] == 150
    assert script.missing[-1][1:] == (150, "overload")
