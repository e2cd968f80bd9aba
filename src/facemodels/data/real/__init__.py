"""Splits from real images: steps that several kinds of datasets share.

The result depends on the images, the settings and the seed. It does not depend on the order
of the samples, the number of workers or where the dataset lies. An image that cannot be used
becomes a `Problem`. Real faces carry no skin-tone label, so their group is NO_GROUP, unless
groups tell several test sets apart.

- `annotated_images`, `identities`, `point_sets`: samples as readers return them, for the
  three tasks
- `wider_levels`: the faces of WIDER FACE's levels easy, medium and hard
- `dealing`: which split a sample goes to
- `loading`: decodes images in parallel and fits them into one array
- `detection`, `recognition`, `landmarks`: samples to splits, and bases of the kinds
"""
