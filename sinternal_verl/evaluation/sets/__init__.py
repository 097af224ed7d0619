"""The evaluation sets: what each is, where its rows are, and its items.

``catalog``     the sets: what each is, where it is, and which rows the paper takes
``fetching``    the file of a set at its pinned place, once
``schemas``     items of rows, whether in the publisher's columns or the sister repository's
``trotter``     attacks made of bare goals by chains of ciphers
``loading``     a set's items in order, and where they are from
``place``       where a set's rows come from: a file, or where it is published
``validation``  a validation file for verl, of slices of sets
"""
