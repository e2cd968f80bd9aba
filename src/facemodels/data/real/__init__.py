"""Splits from real pictures: decoded in parallel, cropped, gathered into arrays.

The result depends on the pictures, the parameters and the seed; never on the order of the
samples, the number of workers or where the dataset lies. A picture that cannot be used
becomes a Problem. Real faces carry no skin-tone label: every group is NO_GROUP, unless
groups tell apart several test sets.
"""
