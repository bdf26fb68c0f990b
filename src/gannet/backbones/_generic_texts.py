"""Generic descriptions, whose mean vector is the center of a text network's vectors."""

from __future__ import annotations

_FORMS = ("{}", "a photo of {}", "this is {} in the distance")
_THINGS = """
a person, two children, a crowd of people, a face, a hand, a dog, a cat, a bird, a horse, a fish, an insect, a flower,
a tree, a forest, a mountain, a river, the sea, the sky, a street, a house, a bridge, a city at night, a room,
a kitchen, a table, a chair, a bed, a window, a door, a car, a bus, a bicycle, a train, an airplane, a boat, a road,
food, a fruit, a cake, a bottle, a cup, clothes, shoes, a bag, a book, a telephone, a computer, a toy, a ball, a tool,
a machine, a musical instrument, a map, a page of text, a painting
"""

GENERIC_TEXTS = [form.format(thing) for form in _FORMS for thing in _THINGS.replace("\n", " ").strip().split(", ")]
"""Three descriptions of each of 55 common things."""
